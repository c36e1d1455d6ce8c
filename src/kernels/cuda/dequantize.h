// What dequantize.cu offers to its binding; see row_kernels.h for the conventions.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

namespace latentcast::cuda {

/// See kernels/dequantize.h; rows lie one behind the other, dim is a multiple of 16.
struct Dequantize {
  bool bf16;  ///< out
  int64_t rows, dim;
  const void* values;
  const float* scales;
  void* out;
};
cudaError_t dequantize(const Dequantize& args, cudaStream_t stream);

}  // namespace latentcast::cuda
