#include "latentcast/model/layers.h"

#include <ATen/ATen.h>

namespace latentcast {

namespace {

Rows fp8_rows(const Rows& x) { return x.is_fp8() ? x : quantize(x.values); }

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x) const {
  if (!is_fp8()) return at::linear(x, weight, bias);
  const at::Tensor y = (*this)(Rows(x.reshape({-1, x.size(-1)})));
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = y.size(1);
  return y.view(shape);
}

at::Tensor Linear::operator()(const Rows& x) const {
  return is_fp8() ? fp8_linear(fp8_rows(x), Rows(weight, scale), bias) : at::linear(x.values, weight, bias);
}

void Linear::into(const Rows& x, const at::Tensor& out) const {
  if (is_fp8()) {
    fp8_linear_into(fp8_rows(x), Rows(weight, scale), bias, out);
    return;
  }
  at::Tensor to = out;
  at::addmm_out(to, bias, x.values, weight.t());
}

namespace {

/// Undefined on a CPU, where it gains nothing, and if they don't lie one behind the other. Parts that don't
/// fill whole lines of memory never do: where layers lie in one buffer, there are gaps between such.
at::Tensor joined(const at::Tensor& first, const at::Tensor& second) {
  constexpr int64_t kLine = 256;
  if (!first.defined() || !first.is_cuda() || first.nbytes() % kLine != 0 || !first.is_contiguous() ||
      !second.is_contiguous() || !first.is_alias_of(second) ||
      first.sizes().slice(1) != second.sizes().slice(1) ||
      static_cast<const char*>(second.const_data_ptr()) !=
          static_cast<const char*>(first.const_data_ptr()) + first.nbytes()) {
    return {};
  }
  std::vector<int64_t> shape = first.sizes().vec();
  shape[0] += second.size(0);
  return first.as_strided(shape, first.strides());
}

}  // namespace

Linear joined(const Linear& first, const Linear& second) {
  Linear both{joined(first.weight, second.weight), joined(first.bias, second.bias),
              joined(first.scale, second.scale)};
  const bool whole = both.weight.defined() && both.bias.defined() && both.scale.defined() == first.is_fp8();
  return whole ? both : Linear{};
}

Linear take_linear(TensorSource& source, const std::string& name, int64_t out, int64_t in) {
  return {source.take(name + ".weight", {out, in}), source.take(name + ".bias", {out})};
}

Linear take_product(TensorSource& source, const std::string& name, int64_t out, int64_t in) {
  const Rows weight = source.take_product_weights({name + ".weight"}, {out, in}).front();
  return {weight.values, source.take(name + ".bias", {out}), weight.scale};
}

Linear take_linear_without_bias(TensorSource& source, const std::string& name, int64_t out, int64_t in) {
  return {source.take(name + ".weight", {out, in}), {}};
}

Linear take_linear_float(TensorSource& source, const std::string& name, int64_t out, int64_t in) {
  return {source.take_float(name + ".weight", {out, in}), source.take_float(name + ".bias", {out})};
}

at::Tensor plain_layer_norm(const at::Tensor& x, double eps) {
  return at::layer_norm(x, {x.size(-1)}, /*weight=*/{}, /*bias=*/{}, eps);
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const at::Tensor out =
      at::scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2));
  return out.transpose(1, 2).flatten(2);
}

}  // namespace latentcast
