#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "latentcast/model/tensor_source.h"

namespace latentcast {

/// y = x · weightᵀ + bias, weight [out, in], bias [out] or undefined.
struct Linear {
  at::Tensor weight;
  at::Tensor bias;

  at::Tensor operator()(const at::Tensor& x) const;
  int64_t in_features() const { return weight.size(1); }
  int64_t out_features() const { return weight.size(0); }
};

/// Takes NAME.weight [out, in] and NAME.bias [out].
Linear take_linear(TensorSource& source, const std::string& name, int64_t out, int64_t in);
/// Takes NAME.weight [out, in] alone.
Linear take_linear_without_bias(TensorSource& source, const std::string& name, int64_t out, int64_t in);
/// As take_linear(), in float32.
Linear take_linear_float(TensorSource& source, const std::string& name, int64_t out, int64_t in);

/// x / sqrt(mean(x²) + eps) over the last dimension in float32, rounded to x's type, times weight.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

/// (x − mean) / sqrt(variance + eps) over the last dimension; x must be float32.
at::Tensor plain_layer_norm(const at::Tensor& x, double eps);

/// Softmax attention without mask. q [batch, queries, heads, d], k and v [batch, keys, heads, d];
/// returns [batch, queries, heads · d].
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace latentcast
