#pragma once

#include <cstdint>
#include <future>

#include <ATen/core/Tensor.h>

#include "latentcast/device/device.h"

namespace latentcast {

/// Copies of tensors in host memory that stay as they are while the originals change. From a GPU they go into
/// one pinned block that is kept from one checkpoint to the next, as far as the host's memory allows; what
/// doesn't fit there goes into memory of its own.
class HostCopies {
 public:
  explicit HostCopies(const ComputeDevice& device) : device_(device) {}
  ~HostCopies();
  HostCopies(const HostCopies&) = delete;
  HostCopies& operator=(const HostCopies&) = delete;

  /// Has a block of this size made on another thread: pinning takes seconds.
  void prepare(int64_t bytes);
  /// Copies of before are no longer in use.
  void reset() { used_ = 0; }
  /// Begins a copy of a contiguous tensor; it is there after wait().
  at::Tensor copy(const at::Tensor& tensor);
  void wait();

 private:
  at::Tensor room(int64_t bytes);

  ComputeDevice device_;
  std::future<at::Tensor> coming_;
  at::Tensor block_;  ///< [bytes] uint8, pinned; undefined on a CPU
  int64_t used_ = 0;
};

/// Bytes of host memory that could still be taken, by the system's own estimate.
int64_t available_host_bytes();

}  // namespace latentcast
