#pragma once

#include <chrono>
#include <functional>
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
  std::chrono::seconds deadline{0};  ///< for waits that no watchdog limits
  /// Takes what is to be done before the process is ended by force (MpiSession::at_abort()).
  std::function<void(std::function<void()>)> at_abort = {};

  /// Whether GPUs of one host send to one another by copy engines (IpcPost) if they can.
  bool direct = true;

  RankActivity* activity() const { return cpu->activity(); }
};

/// The library's only entry. The caller owns the result; throws as make_nccl_communicator() does.
using MakeNcclCommunicator = Communicator* (*)(NcclStart*);
inline constexpr const char* kMakeNcclCommunicator = "latentcast_make_nccl_communicator";
inline constexpr const char* kCudaLibrary = "liblatentcast_cuda.so";

}  // namespace latentcast
