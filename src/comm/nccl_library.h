#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "peer.h"

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// What the program hands to liblatentcast_cuda.so.
struct NcclStart {
  std::unique_ptr<Communicator> cpu;  ///< the same ranks, for NCCL's start
  std::vector<Peer> peers;
  int device = 0;
  std::chrono::seconds deadline{0};
};

/// The library's only entry. The caller owns the result; throws as make_nccl_communicator() does.
using MakeNcclCommunicator = Communicator* (*)(NcclStart*);
inline constexpr const char* kMakeNcclCommunicator = "latentcast_make_nccl_communicator";
inline constexpr const char* kCudaLibrary = "liblatentcast_cuda.so";

}  // namespace latentcast
