#include "latentcast/model/layers.h"

#include <ATen/ATen.h>

namespace latentcast {

at::Tensor Linear::operator()(const at::Tensor& x) const { return at::linear(x, weight, bias); }

Linear take_linear(TensorSource& source, const std::string& name, int64_t out, int64_t in) {
  return {source.take(name + ".weight", {out, in}), source.take(name + ".bias", {out})};
}

Linear take_linear_without_bias(TensorSource& source, const std::string& name, int64_t out, int64_t in) {
  return {source.take(name + ".weight", {out, in}), {}};
}

Linear take_linear_float(TensorSource& source, const std::string& name, int64_t out, int64_t in) {
  return {source.take_float(name + ".weight", {out, in}), source.take_float(name + ".bias", {out})};
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor scale = wide.square().mean({-1}, /*keepdim=*/true).add_(eps).rsqrt_();
  return (wide * scale).to(x.scalar_type()).mul_(weight);
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
