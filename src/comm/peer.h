#pragma once

#include <cstdint>
#include <string>
#include <vector>

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

/// The error of a wait whose deadline has passed.
InternalError no_answer(const Operation& operation, const std::vector<Peer>& peers, int own_rank,
                        double seconds);

}  // namespace latentcast
