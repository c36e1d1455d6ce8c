#pragma once

#include <ATen/core/Tensor.h>

namespace latentcast {

/// gelu(x · weightᵀ + bias) in its tanh form, rounded to x's type: x [rows, in], weight [out, in], bias
/// [out]. On a GPU one product of cuBLASLt's, which applies the GELU before it rounds.
at::Tensor linear_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace latentcast
