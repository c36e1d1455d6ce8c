#include "ipc_slots.h"

#include <algorithm>

#include <c10/cuda/CUDACachingAllocator.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

// CUDA opens whole pieces of this size to the other process: none is shared with anything else.
constexpr size_t kGrain = 2u << 20;

std::unique_ptr<CudaBytes> allocate(size_t bytes) {
  try {
    return std::make_unique<CudaBytes>(bytes, /*zeroed=*/false);
  } catch (const InternalError&) {
    static_cast<void>(cudaGetLastError());  // or the next check of somebody else finds it
    c10::cuda::CUDACachingAllocator::emptyCache();
    return std::make_unique<CudaBytes>(bytes, /*zeroed=*/false);
  }
}

}  // namespace

SharedEvent::SharedEvent() {
  check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventInterprocess),
             "cudaEventCreateWithFlags");
}
SharedEvent::SharedEvent(const cudaIpcEventHandle_t& handle) {
  check_cuda(cudaIpcOpenEventHandle(&event_, handle), "cudaIpcOpenEventHandle");
}
SharedEvent::~SharedEvent() { cudaEventDestroy(event_); }

cudaIpcEventHandle_t SharedEvent::handle() const {
  cudaIpcEventHandle_t handle = {};
  check_cuda(cudaIpcGetEventHandle(&handle, event_), "cudaIpcGetEventHandle");
  return handle;
}

void SharedEvent::record(cudaStream_t stream) {
  check_cuda(cudaEventRecord(event_, stream), "cudaEventRecord");
}

void SharedEvent::let_wait(cudaStream_t stream) const {
  check_cuda(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
}

SharedMemory::SharedMemory(size_t bytes)
    : size_((std::max<size_t>(bytes, 1) + kGrain - 1) / kGrain * kGrain), memory_(allocate(size_)) {}

cudaIpcMemHandle_t SharedMemory::handle() const {
  cudaIpcMemHandle_t handle = {};
  check_cuda(cudaIpcGetMemHandle(&handle, memory_->get()), "cudaIpcGetMemHandle");
  return handle;
}

OpenMemory::OpenMemory(const cudaIpcMemHandle_t& handle) {
  check_cuda(cudaIpcOpenMemHandle(&begin_, handle, cudaIpcMemLazyEnablePeerAccess), "cudaIpcOpenMemHandle");
}

OpenMemory::~OpenMemory() { cudaIpcCloseMemHandle(begin_); }

}  // namespace latentcast
