#pragma once

#include <cstddef>

#include <cuda_runtime_api.h>

namespace latentcast {

/// Throws InternalError with CUDA's own text if a call failed.
void check_cuda(cudaError_t code, const char* call);

/// A stream that goes before others and does not wait for the default stream.
class CudaStream {
 public:
  CudaStream();
  ~CudaStream();
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  cudaStream_t get() const { return stream_; }
  bool idle() const;  ///< throws InternalError if something on the stream failed

 private:
  cudaStream_t stream_ = nullptr;
};

/// A mark on a stream.
class CudaEvent {
 public:
  explicit CudaEvent(cudaStream_t stream);  ///< after all that the stream has been given so far
  ~CudaEvent();
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  bool done() const;
  void let_wait(cudaStream_t stream) const;  ///< the stream, not the host

 private:
  cudaEvent_t event_ = nullptr;
};

/// Plain device memory.
class CudaBytes {
 public:
  explicit CudaBytes(size_t bytes, bool zeroed = true);
  ~CudaBytes();
  CudaBytes(const CudaBytes&) = delete;
  CudaBytes& operator=(const CudaBytes&) = delete;
  char* get() const { return static_cast<char*>(bytes_); }

 private:
  void* bytes_ = nullptr;
};

}  // namespace latentcast
