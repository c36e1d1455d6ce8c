#pragma once

#include "row_kernels.h"
#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>

namespace latentcast::cuda {

inline bool is_bf16(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16; }

/// [rows, dim] of a type and shape that the row kernels take; `name` is the operation's.
inline Rows rows_of(const at::Tensor& x, const char* name) {
  TORCH_CHECK(is_bf16(x) || x.scalar_type() == at::kFloat, name, ": takes bf16 or float32, not ",
              x.scalar_type());
  TORCH_CHECK(x.dim() == 2 && x.size(1) % 8 == 0 && x.size(1) <= kMaxRow, name,
              ": rows must be a multiple of 8 long and at most ", kMaxRow, ", these are ", x.sizes());
  const int64_t vector = 16 / static_cast<int64_t>(x.element_size());
  TORCH_CHECK(x.stride(1) == 1 && x.stride(0) % vector == 0 &&
                  reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0,
              name, ": rows must lie in one piece and be aligned to 16 bytes");
  return {x.const_data_ptr(), x.stride(0)};
}

/// float32 numbers in one piece, aligned.
inline const float* floats_of(const at::Tensor& x, const char* name) {
  TORCH_CHECK(x.scalar_type() == at::kFloat && x.stride(-1) == 1 &&
                  reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0,
              name, ": shifts, scales and gates must be aligned float32");
  return x.const_data_ptr<float>();
}

inline cudaStream_t current_stream() { return c10::cuda::getCurrentCUDAStream(); }

}  // namespace latentcast::cuda
