#include "latentcast/kernels/residual.h"

#include "operation.h"
#include <ATen/ATen.h>
#include <torch/library.h>

namespace latentcast {
namespace {

at::Tensor gated_sum(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate) {
  return at::addcmul(x.to(at::kFloat), y.to(at::kFloat), gate);
}

at::Tensor gated_residual_norm_cpu(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                                   const at::Tensor& weight, const at::Tensor& bias, double eps) {
  return at::layer_norm(gated_sum(x, y, gate), {x.size(-1)}, weight.to(at::kFloat), bias.to(at::kFloat), eps)
      .to(x.scalar_type());
}

at::Tensor residual_modulated_norm_cpu(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                                       const at::Tensor& c, const at::Tensor& shift, const at::Tensor& scale,
                                       double eps) {
  const at::Tensor sum = gated_sum(x, y, gate).add_(c);
  return at::layer_norm(sum, {x.size(-1)}, {}, {}, eps).mul_(1 + scale).add_(shift).to(x.scalar_type());
}

at::Tensor gated_residuals_cpu(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                               const at::Tensor& c, const at::Tensor& f, const at::Tensor& last_gate) {
  return gated_sum(x, y, gate).add_(c).addcmul_(f.to(at::kFloat), last_gate).to(x.scalar_type());
}

}  // namespace

at::Tensor gated_residual_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                               const at::Tensor& weight, const at::Tensor& bias, double eps) {
  static const auto run =
      operation<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                           const at::Tensor&, double)>("latentcast::gated_residual_norm");
  return run.call(x, y, gate, weight, bias, eps);
}

at::Tensor residual_modulated_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                                   const at::Tensor& c, const at::Tensor& shift, const at::Tensor& scale,
                                   double eps) {
  static const auto run =
      operation<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                           const at::Tensor&, const at::Tensor&, double)>(
          "latentcast::residual_modulated_norm");
  return run.call(x, y, gate, c, shift, scale, eps);
}

at::Tensor gated_residuals(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                           const at::Tensor& c, const at::Tensor& f, const at::Tensor& last_gate) {
  static const auto run =
      operation<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                           const at::Tensor&, const at::Tensor&)>("latentcast::gated_residuals");
  return run.call(x, y, gate, c, f, last_gate);
}

TORCH_LIBRARY_FRAGMENT(latentcast, library) {
  library.def(
      "gated_residual_norm(Tensor x, Tensor y, Tensor gate, Tensor weight, Tensor bias, float eps) -> "
      "Tensor");
  library.def(
      "residual_modulated_norm(Tensor x, Tensor y, Tensor gate, Tensor c, Tensor shift, Tensor scale, float "
      "eps) -> "
      "Tensor");
  library.def(
      "gated_residuals(Tensor x, Tensor y, Tensor gate, Tensor c, Tensor f, Tensor last_gate) -> Tensor");
}

TORCH_LIBRARY_IMPL(latentcast, CPU, library) {
  library.impl("gated_residual_norm", &gated_residual_norm_cpu);
  library.impl("residual_modulated_norm", &residual_modulated_norm_cpu);
  library.impl("gated_residuals", &gated_residuals_cpu);
}

}  // namespace latentcast
