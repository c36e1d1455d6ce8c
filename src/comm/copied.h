#pragma once

#include "cuda_handles.h"
#include <c10/cuda/CUDAStream.h>

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// A copy that a stream of this rank makes, done when the stream has come so far; no peer takes part in it.
class Copied final : public Transfer {
 public:
  /// After all that `stream`, one of `device`'s, has been given so far.
  Copied(c10::DeviceIndex device, cudaStream_t stream) : device_(device), end_(stream) {}
  bool test() override { return end_.done(); }
  void finish() override { end_.let_wait(c10::cuda::getCurrentCUDAStream(device_)); }

 private:
  c10::DeviceIndex device_;
  CudaEvent end_;
};

}  // namespace latentcast
