#include "latentcast/kernels/rotated_norm.h"

#include "operation.h"
#include <ATen/ATen.h>
#include <torch/library.h>

namespace latentcast {
namespace {

at::Tensor norm_in_float(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor scale = wide.square().mean({-1}, /*keepdim=*/true).add_(eps).rsqrt_();
  return (wide * scale).mul_(weight);
}

/// x [rows, heads, head_dim] float32.
void rotate_to(const at::Tensor& x, const at::Tensor& rope, const at::Tensor& out) {
  const at::Tensor pairs = at::view_as_complex(x.view({x.size(0), x.size(1), x.size(2) / 2, 2}));
  out.copy_(at::view_as_real(pairs * rope).view(x.sizes()));
}

at::Tensor rms_norm_cpu(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return norm_in_float(x, weight, eps).to(x.scalar_type());
}

void rotate_query_key_cpu(const at::Tensor& query, const at::Tensor& key, const at::Tensor& query_weight,
                          const at::Tensor& key_weight, const at::Tensor& rope, double eps,
                          const at::Tensor& query_out, const at::Tensor& key_out) {
  rotate_to(norm_in_float(query, query_weight, eps).view(query_out.sizes()), rope, query_out);
  rotate_to(norm_in_float(key, key_weight, eps).view(key_out.sizes()), rope, key_out);
}

void split_query_key_value_cpu(const at::Tensor& product, const at::Tensor& query_weight,
                               const at::Tensor& key_weight, const at::Tensor& rope, double eps,
                               const at::Tensor& query_out, const at::Tensor& key_out,
                               const at::Tensor& value_out) {
  const std::vector<at::Tensor> parts = product.chunk(3, 1);
  rotate_query_key_cpu(parts[0], parts[1], query_weight, key_weight, rope, eps, query_out, key_out);
  value_out.copy_(parts[2].view(value_out.sizes()));
}

void rotate_rows_cpu(const at::Tensor& x, const at::Tensor& rope, const at::Tensor& out) {
  rotate_to(x.to(at::kFloat), rope, out);
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  static const auto run =
      operation<at::Tensor(const at::Tensor&, const at::Tensor&, double)>("latentcast::rms_norm");
  return run.call(x, weight, eps);
}

void rotate_query_key(const at::Tensor& query, const at::Tensor& key, const at::Tensor& query_weight,
                      const at::Tensor& key_weight, const at::Tensor& rope, double eps,
                      const at::Tensor& query_out, const at::Tensor& key_out) {
  static const auto run =
      operation<void(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                     const at::Tensor&, double, const at::Tensor&, const at::Tensor&)>(
          "latentcast::rotate_query_key");
  run.call(query, key, query_weight, key_weight, rope, eps, query_out, key_out);
}

void split_query_key_value(const at::Tensor& product, const at::Tensor& query_weight,
                           const at::Tensor& key_weight, const at::Tensor& rope, double eps,
                           const at::Tensor& query_out, const at::Tensor& key_out,
                           const at::Tensor& value_out) {
  static const auto run =
      operation<void(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double,
                     const at::Tensor&, const at::Tensor&, const at::Tensor&)>(
          "latentcast::split_query_key_value");
  run.call(product, query_weight, key_weight, rope, eps, query_out, key_out, value_out);
}

void rotate_rows(const at::Tensor& x, const at::Tensor& rope, const at::Tensor& out) {
  static const auto run =
      operation<void(const at::Tensor&, const at::Tensor&, const at::Tensor&)>("latentcast::rotate_rows");
  run.call(x, rope, out);
}

TORCH_LIBRARY_FRAGMENT(latentcast, library) {
  library.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor");
  library.def(
      "rotate_query_key(Tensor query, Tensor key, Tensor query_weight, Tensor key_weight, Tensor rope, float "
      "eps, "
      "Tensor(a!) query_out, Tensor(b!) key_out) -> ()");
  library.def(
      "split_query_key_value(Tensor product, Tensor query_weight, Tensor key_weight, Tensor rope, float eps, "
      "Tensor(a!) query_out, Tensor(b!) key_out, Tensor(c!) value_out) -> ()");
  library.def("rotate_rows(Tensor x, Tensor rope, Tensor(a!) out) -> ()");
}

TORCH_LIBRARY_IMPL(latentcast, CPU, library) {
  library.impl("rms_norm", &rms_norm_cpu);
  library.impl("rotate_query_key", &rotate_query_key_cpu);
  library.impl("split_query_key_value", &split_query_key_value_cpu);
  library.impl("rotate_rows", &rotate_rows_cpu);
}

}  // namespace latentcast
