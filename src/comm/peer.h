#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "latentcast/comm/activity.h"
#include "latentcast/error.h"

namespace latentcast {

/// A member of a group, as messages name it.
struct Peer {
  int world_rank = 0;
  std::string host;
};

/// What a transfer does, for messages.
struct Operation {
  const char* name;  ///< "send", "all-gather"
  int64_t bytes = 0;
  int peer = -1;  ///< rank in the group; −1: all of them
};

/// "rank 2 (host)"
std::string name_of(const Peer& peer);
/// "receiving 4096 bytes from rank 2 (host)"
std::string text_of(const Operation& operation, const std::vector<Peer>& peers);
/// "2.0 s"
std::string seconds_text(double seconds);

/// "rank 3 (host): receive of 4096 bytes": what a rank waits for. `peers` are the group's.
std::string wait_text(const Operation& operation, const std::vector<Peer>& peers, int own_rank);
/// The error of a wait whose deadline has passed.
PeerFailure no_answer(const Operation& operation, const std::vector<Peer>& peers, int own_rank,
                      double seconds);
/// An error that a rank had by itself: "rank 2 (host): MESSAGE (at block 3, timestep 1 for 0.2 s)".
std::string own_failure(const Peer& rank, const Doing& doing, const std::string& message);

}  // namespace latentcast
