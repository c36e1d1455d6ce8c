// What pictures.cu offers to decoder_bindings.cpp: plain pointers, no ATen.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

namespace latentcast::cuda {

/// See channel_norm.h of include/latentcast/kernels: pixels' channels one after the other, in bf16 or
/// float32, gain too.
struct ChannelNorm {
  bool bf16, silu;
  int64_t pixels, channels;
  const void *x, *gain;
  void* out;
};
cudaError_t channel_norm(const ChannelNorm& args, cudaStream_t stream);

/// See yuv420p.h there: strides of colours, frames, rows and columns.
struct Yuv420p {
  const float* frames;
  int64_t strides[4];
  int64_t count, height, width;
  uint8_t* out;
};
cudaError_t yuv420p(const Yuv420p& args, cudaStream_t stream);

}  // namespace latentcast::cuda
