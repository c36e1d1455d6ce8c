#pragma once

#include <ATen/core/Tensor.h>

namespace latentcast {

/// A 3D convolution without padding in time: x [1, in, frames, h, w], weight [out, in, kt, kh, kw], bias
/// [out]. On a CPU always by oneDNN: LibTorch would take its slow path for frames of less than some hundred
/// rows.
at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    at::IntArrayRef stride, int64_t side_padding);

}  // namespace latentcast
