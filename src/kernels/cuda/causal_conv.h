// What causal_conv.cu offers to causal_conv_bindings.cpp: plain pointers, no ATen. Numbers are bf16, all
// tensors [frames, h, w, channels] in one piece, aligned to 16 bytes.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

namespace latentcast::cuda {

/// What of the past, of the neighbours and of the output a convolution has; see causal_conv.h of
/// include/latentcast/kernels.
enum class ConvKind { kSpaceTime, kTimeDoubling, kPictureDoubling, kPoint };

struct CausalConv {
  ConvKind kind;
  int64_t in, out, frames, height, width;  ///< of the input
  const void *past, *x, *weight;           ///< past: two frames, for the kinds that look back
  const float* bias;
  const void* residual;  ///< or nullptr
  const float* gain;     ///< or nullptr: no norm
  void *sum, *active;    ///< or nullptr
};

/// Columns of the output that one block of threads computes; 0: no kernel for this shape.
int64_t conv_columns(ConvKind kind, int64_t in, int64_t out);
cudaError_t causal_conv(const CausalConv& args, cudaStream_t stream);

}  // namespace latentcast::cuda
