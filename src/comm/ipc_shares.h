#pragma once

#include <memory>
#include <string>
#include <vector>

#include "peer.h"

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// Shares in the memory of GPUs of one host, opened to one another by CUDA's IPC and read by copy engines: no
/// kernel takes multiprocessors from the computing, and no rank waits for another. Collective over `cpu`,
/// which outlives the result, as all ranks of `peers`. Gives nullptr, on all of them, if one rank can't open
/// another's share, and says why in `refusal`.
std::unique_ptr<PeerShares> open_peer_shares(Communicator& cpu, const std::vector<Peer>& peers, int device,
                                             const at::Tensor& share, std::string& refusal);

}  // namespace latentcast
