#include "peer.h"

#include <cstdio>

namespace latentcast {
namespace {

constexpr size_t kMostNames = 8;  // a message of hundreds of ranks helps nobody

std::string names_of_others(const std::vector<Peer>& peers, int own_rank) {
  std::string names;
  size_t named = 0;
  for (size_t i = 0; i < peers.size(); ++i) {
    if (static_cast<int>(i) == own_rank) {
      continue;
    }
    if (named++ == kMostNames) {
      return names + " ...";
    }
    names += (names.empty() ? "" : ", ") + name_of(peers[i]);
  }
  return names;
}

}  // namespace

std::string name_of(const Peer& peer) {
  return "rank " + std::to_string(peer.world_rank) + " (" + peer.host + ")";
}

std::string text_of(const Operation& operation, const std::vector<Peer>& peers) {
  std::string text = operation.name;
  if (operation.bytes > 0) {
    text += " of " + std::to_string(operation.bytes) + " bytes";
  }
  if (operation.peer >= 0) {
    text += std::string(operation.name == std::string("send") ? " to " : " from ") +
            name_of(peers[static_cast<size_t>(operation.peer)]);
  }
  return text;
}

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", seconds);
  return text;
}

namespace {

std::string awaited(const Operation& operation, const std::vector<Peer>& peers, int own_rank) {
  return operation.peer >= 0 ? name_of(peers[static_cast<size_t>(operation.peer)])
                             : "one of " + names_of_others(peers, own_rank);
}

}  // namespace

std::string wait_text(const Operation& operation, const std::vector<Peer>& peers, int own_rank) {
  return awaited(operation, peers, own_rank) + ": " + operation.name +
         (operation.bytes > 0 ? " of " + std::to_string(operation.bytes) + " bytes" : "");
}

PeerFailure no_answer(const Operation& operation, const std::vector<Peer>& peers, int own_rank,
                      double seconds) {
  return PeerFailure(name_of(peers[static_cast<size_t>(own_rank)]) + " waited " + seconds_text(seconds) +
                     " in a " + text_of(operation, peers) + ": " + awaited(operation, peers, own_rank) +
                     " has ended, hangs or is slower than --timeout allows; see its log");
}

std::string own_failure(const Peer& rank, const Doing& doing, const std::string& message) {
  return name_of(rank) + ": " + message +
         (doing.what.empty() ? "" : " (at " + doing.what + " for " + seconds_text(doing.seconds) + ")");
}

}  // namespace latentcast
