#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "latentcast/kernels/quantize.h"
#include "latentcast/model/tensor_source.h"

namespace latentcast {

/// y = x · weightᵀ + bias, weight [out, in], bias [out] or undefined.
struct Linear {
  at::Tensor weight;
  at::Tensor bias;
  at::Tensor scale = {};  ///< [out, 1] float32 if the weight is in 8 bits; the bias is defined then

  at::Tensor operator()(const at::Tensor& x) const;
  /// Of rows in either form. Rows in 8 bits need a weight in 8 bits; others are brought to it where it is.
  at::Tensor operator()(const Rows& x) const;
  /// x [rows, in] -> out [rows, out], which lies in one piece.
  void into(const Rows& x, const at::Tensor& out) const;
  bool is_fp8() const { return scale.defined(); }
  int64_t in_features() const { return weight.size(1); }
  int64_t out_features() const { return weight.size(0); }
};

/// Takes NAME.weight [out, in] and NAME.bias [out].
Linear take_linear(TensorSource& source, const std::string& name, int64_t out, int64_t in);
/// As take_linear(), with the weight in the form in which the source gives products' weights.
Linear take_product(TensorSource& source, const std::string& name, int64_t out, int64_t in);
/// Takes NAME.weight [out, in] alone.
Linear take_linear_without_bias(TensorSource& source, const std::string& name, int64_t out, int64_t in);
/// As take_linear(), in float32.
Linear take_linear_float(TensorSource& source, const std::string& name, int64_t out, int64_t in);

/// Two products of the same input as one, [first's out + second's out, in]: views of both if they are on a
/// GPU and lie one behind the other (see TensorSource::take_together()), else undefined.
Linear joined(const Linear& first, const Linear& second);

/// (x − mean) / sqrt(variance + eps) over the last dimension; x must be float32.
at::Tensor plain_layer_norm(const at::Tensor& x, double eps);

/// Softmax attention without mask. q [batch, queries, heads, d], k and v [batch, keys, heads, d];
/// returns [batch, queries, heads · d].
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace latentcast
