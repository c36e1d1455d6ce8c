#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>

#include <ATen/core/Tensor.h>

#include "latentcast/device/device.h"

namespace latentcast {

/// Host memory (pinned, for a GPU) in pieces of a few sizes, which are lent out and come back as they are let
/// go, by any thread. So a checkpoint keeps the pieces that it is still writing, and whoever would write to
/// them takes others. One thread reserves and takes.
class HostPieces {
 public:
  /// `on_step`: called while take() waits, when a piece has come back.
  HostPieces(const ComputeDevice& device, std::function<void()> on_step);
  /// Waits for what is being reserved beside.
  ~HostPieces();
  HostPieces(const HostPieces&) = delete;
  HostPieces& operator=(const HostPieces&) = delete;

  /// So many more pieces. Throws InputError if the host hasn't the memory, or can't pin it.
  void reserve(int64_t bytes, int64_t count);
  /// The same on another thread, as many as can be had, once.
  void reserve_beside(int64_t bytes, int64_t count);
  /// How many reserve_beside() got. Waits for it.
  int64_t reserved_beside();

  /// [bytes] uint8 of a size that was reserved. Waits for a piece to come back if none is free.
  at::Tensor take(int64_t bytes);

 private:
  class Store;
  ComputeDevice device_;
  std::function<void()> on_step_;
  std::shared_ptr<Store> store_;  // also held by every piece that is out
  std::future<int64_t> beside_;
};

}  // namespace latentcast
