#pragma once

#include <optional>
#include <string>
#include <vector>

#include "peer.h"

#include "latentcast/comm/activity.h"

namespace latentcast {

/// What a watchdog knows of a rank.
struct RankState {
  Peer peer;
  Doing doing;        ///< by its last report
  bool done = false;  ///< it needs nobody any more
  double silent = 0;  ///< seconds since its last report
  double quiet = 0;   ///< seconds since its last report that showed progress
};

/// Seconds after which a rank is given up.
struct Limits {
  double quiet;   ///< without progress
  double silent;  ///< without a report
};

/// That the run can't go on.
struct Verdict {
  int culprit = -1;  ///< −1: every rank waits for another
  int speaker = 0;   ///< the rank that tells the user, and ends the others
  std::string message;
};

/// The culprit is a rank that isn't heard of; else one that makes no progress and doesn't wait for another.
/// A rank that waits is none, however long it does. `ranks` by world rank.
std::optional<Verdict> judge(const std::vector<RankState>& ranks, const Limits& limits);

}  // namespace latentcast
