#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "latentcast/device/device.h"

namespace latentcast {

/// Copies of tensors in host memory that stay as they are while the originals change. They lie in one block
/// (pinned, for a GPU) that is kept from one checkpoint to the next. The block is a ring: room comes back as
/// copies are let go, the oldest first, so one that is smaller than all of a checkpoint serves too; then
/// whoever copies waits for whoever writes. Without a block each copy has memory of its own.
/// One thread copies; copies may be let go by any.
class HostCopies {
 public:
  explicit HostCopies(const ComputeDevice& device) : device_(device) {}
  ~HostCopies();
  HostCopies(const HostCopies&) = delete;
  HostCopies& operator=(const HostCopies&) = delete;

  /// Has a block made on another thread, since pinning takes seconds: of `bytes`, or of as much as there is,
  /// but no more than `most_bytes`.
  void prepare(int64_t bytes, int64_t most_bytes);
  /// Begins a copy of a tensor; it is there after wait(). Undefined if older copies must be let go before:
  /// wait for them, hand them on, call wait_for_room().
  at::Tensor copy(const at::Tensor& tensor);
  /// All copies so far are there.
  void wait();
  /// Waits until a copy has been let go since the last one was refused.
  void wait_for_room();

  /// Of the block; 0 without one. Waits until it is made.
  int64_t block_bytes();
  /// What is worse than was asked for, for people; empty if nothing is. Waits as well.
  std::string shortage();

 private:
  class Ring;
  void take_block();

  ComputeDevice device_;
  std::future<at::Tensor> coming_;
  int64_t wanted_ = 0;          ///< bytes
  bool pinned_ = false;         ///< the block
  std::shared_ptr<Ring> ring_;  // also held by every copy in it
};

/// Bytes of host memory that could still be taken, by the system's own estimate and this process's control
/// group (a job of Slurm's has one).
int64_t available_host_bytes();

}  // namespace latentcast
