#include "ipc_agreement.h"

#include <algorithm>

namespace latentcast {

bool on_one_host(const std::vector<Peer>& peers) {
  return std::all_of(peers.begin(), peers.end(),
                     [&](const Peer& peer) { return peer.host == peers.front().host; });
}

std::string first_refusal(Communicator& cpu, const std::vector<Peer>& peers, const std::string& own) {
  const std::vector<std::string> all = gather_strings(cpu, own);
  for (size_t i = 0; i < all.size(); ++i) {
    if (!all[i].empty()) {
      return name_of(peers[i]) + ": " + all[i].substr(0, all[i].find('\n'));
    }
  }
  return {};
}

}  // namespace latentcast
