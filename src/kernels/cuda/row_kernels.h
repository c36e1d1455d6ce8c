// What the .cu files offer to bindings.cpp: plain pointers, no ATen (nvcc takes a minute over its headers).
// Rows are [rows, dim] in one piece each, `stride` numbers apart; dim is a multiple of 8 up to kMaxRow,
// pointers are aligned to 16 bytes. Numbers are bf16 or float32 as `bf16` says, gates, shifts and scales
// float32.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

namespace latentcast::cuda {

constexpr int64_t kMaxRow = 14336;

/// Where results go in 8 bits; see quantize.h. Null values: results are of the numbers' type.
struct Fp8Out {
  void* values;
  float* scales;
};

struct Rows {
  const void* data;
  int64_t stride;
};

/// See modulated_norm.h; out_rows = copies · rows, of which each group has out_rows / groups.
struct ModulatedNorm {
  bool bf16;
  int64_t rows, out_rows, groups, dim;
  Rows x;
  const float *shift, *scale;
  int64_t modulation_stride;
  float eps;
  void* out;
  Fp8Out fp8;  ///< instead of `out`
};
cudaError_t modulated_norm(const ModulatedNorm& args, cudaStream_t stream);

/// See rotated_norm.h.
struct RotatedNorm {
  bool bf16;
  int64_t rows, dim, head_dim;
  int parts;  ///< 1, or queries, keys and perhaps values, which are copied
  Rows x[3];
  const void* weight[3];  ///< null: not normed
  const float* rope;      ///< [rows, head_dim / 2] of cosine and sine, or null: not rotated
  float eps;
  void* out[3];
  int64_t out_stride[3];
};
cudaError_t rotated_norm(const RotatedNorm& args, cudaStream_t stream);

/// See residual.h; what isn't used is null. kSumNorm may be without y and f; its groups have rows / groups
/// each.
struct Residual {
  enum Kind { kAffineNorm, kModulatedNorm, kSum, kSumNorm } kind;
  bool bf16;
  int64_t rows, dim;
  Rows x, y, c, f;
  const float *gate, *last_gate;
  const void *weight, *bias;
  const float *shift, *scale;
  int64_t groups, modulation_stride;  ///< kSumNorm only
  float eps;
  void* sum;  ///< kSumNorm only
  void* out;
  Fp8Out fp8;  ///< instead of `out`, but for kSum
};
cudaError_t residual(const Residual& args, cudaStream_t stream);

/// See quantize.h.
struct Quantize {
  bool bf16, gelu;
  int64_t rows, dim;
  Rows x;
  Fp8Out fp8;
};
cudaError_t quantize(const Quantize& args, cudaStream_t stream);

}  // namespace latentcast::cuda
