#include "cuda_handles.h"

#include <string>

#include "latentcast/error.h"

namespace latentcast {
namespace {

bool ready(cudaError_t code, const char* call) {
  if (code == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());  // or the next check of somebody else finds it
    return false;
  }
  check_cuda(code, call);
  return true;
}

}  // namespace

void check_cuda(cudaError_t code, const char* call) {
  if (code != cudaSuccess) {
    throw InternalError(std::string(call) + " failed: " + cudaGetErrorString(code) +
                        "; see nvidia-smi and the kernel's log, then run again");
  }
}

CudaStream::CudaStream() {
  int least = 0, greatest = 0;
  check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
  check_cuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest),
             "cudaStreamCreateWithPriority");
}

CudaStream::~CudaStream() { cudaStreamDestroy(stream_); }

bool CudaStream::idle() const { return ready(cudaStreamQuery(stream_), "cudaStreamQuery"); }

CudaEvent::CudaEvent(cudaStream_t stream) {
  check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  const cudaError_t recorded = cudaEventRecord(event_, stream);
  if (recorded != cudaSuccess) {
    cudaEventDestroy(event_);
    check_cuda(recorded, "cudaEventRecord");
  }
}

CudaEvent::~CudaEvent() { cudaEventDestroy(event_); }

bool CudaEvent::done() const { return ready(cudaEventQuery(event_), "cudaEventQuery"); }

void CudaEvent::let_wait(cudaStream_t stream) const {
  check_cuda(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
}

CudaBytes::CudaBytes(size_t bytes, bool zeroed) {
  check_cuda(cudaMalloc(&bytes_, bytes), "cudaMalloc");
  if (zeroed) check_cuda(cudaMemset(bytes_, 0, bytes), "cudaMemset");
}

CudaBytes::~CudaBytes() { cudaFree(bytes_); }

}  // namespace latentcast
