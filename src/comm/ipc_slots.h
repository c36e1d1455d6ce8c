#pragma once

#include <cstddef>
#include <memory>

#include "cuda_handles.h"

namespace latentcast {

/// An event that another process of the host can wait for.
class SharedEvent {
 public:
  SharedEvent();                                             ///< of this process
  explicit SharedEvent(const cudaIpcEventHandle_t& handle);  ///< another's, which keeps its own meanwhile
  ~SharedEvent();
  SharedEvent(const SharedEvent&) = delete;
  SharedEvent& operator=(const SharedEvent&) = delete;
  cudaIpcEventHandle_t handle() const;
  void record(cudaStream_t stream);
  /// For what was recorded last when this is called.
  void let_wait(cudaStream_t stream) const;

 private:
  cudaEvent_t event_ = nullptr;
};

/// Memory that other processes can open. Its owner frees it after they have closed it.
class SharedMemory {
 public:
  /// At least so many bytes. Takes back from LibTorch's allocator what that isn't using if there is no room.
  explicit SharedMemory(size_t bytes);
  size_t size() const { return size_; }
  char* get() const { return memory_->get(); }
  cudaIpcMemHandle_t handle() const;

 private:
  size_t size_;
  std::unique_ptr<CudaBytes> memory_;
};

/// Another process's memory, with the way to it opened if it is another GPU's.
class OpenMemory {
 public:
  explicit OpenMemory(const cudaIpcMemHandle_t& handle);
  ~OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
  const void* get() const { return begin_; }

 private:
  void* begin_ = nullptr;
};

}  // namespace latentcast
