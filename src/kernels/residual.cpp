#include "latentcast/kernels/residual.h"

#include <optional>

#include "fp8.h"
#include "operation.h"
#include <ATen/ATen.h>
#include <torch/library.h>

#include "latentcast/kernels/modulated_norm.h"

namespace latentcast {
namespace {

at::Tensor gated_sum(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate) {
  return at::addcmul(x.to(at::kFloat), y.to(at::kFloat), gate);
}

std::tuple<at::Tensor, at::Tensor> gated_residual_norm_cpu(const at::Tensor& x, const at::Tensor& y,
                                                           const at::Tensor& gate, const at::Tensor& weight,
                                                           const at::Tensor& bias, double eps, bool fp8) {
  return given_as(
      at::layer_norm(gated_sum(x, y, gate), {x.size(-1)}, weight.to(at::kFloat), bias.to(at::kFloat), eps),
      x.scalar_type(), fp8);
}

std::tuple<at::Tensor, at::Tensor> residual_modulated_norm_cpu(const at::Tensor& x, const at::Tensor& y,
                                                               const at::Tensor& gate, const at::Tensor& c,
                                                               const at::Tensor& shift,
                                                               const at::Tensor& scale, double eps,
                                                               bool fp8) {
  const at::Tensor sum = gated_sum(x, y, gate).add_(c);
  return given_as(at::layer_norm(sum, {x.size(-1)}, {}, {}, eps).mul_(1 + scale).add_(shift), x.scalar_type(),
                  fp8);
}

at::Tensor gated_residuals_cpu(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                               const at::Tensor& c, const at::Tensor& f, const at::Tensor& last_gate) {
  return gated_sum(x, y, gate).add_(c).addcmul_(f.to(at::kFloat), last_gate).to(x.scalar_type());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> residual_sum_norm_cpu(
    const at::Tensor& x, const std::optional<at::Tensor>& y, const std::optional<at::Tensor>& gate,
    const at::Tensor& c, const std::optional<at::Tensor>& f, const std::optional<at::Tensor>& last_gate,
    const at::Tensor& shift, const at::Tensor& scale, double eps, bool fp8) {
  const at::Tensor sum = y ? gated_residuals_cpu(x, *y, *gate, c, *f, *last_gate)
                           : x.to(at::kFloat).add(c.to(at::kFloat)).to(x.scalar_type());
  const Rows normed =
      modulated_norm(sum, shift, scale, eps, /*copies=*/1, fp8 ? RowForm::kFp8 : RowForm::kPlain);
  return {sum, normed.values, normed.scale};
}

SumAndNorm run_sum_norm(const at::Tensor& x, const std::optional<at::Tensor>& y,
                        const std::optional<at::Tensor>& gate, const at::Tensor& c,
                        const std::optional<at::Tensor>& f, const std::optional<at::Tensor>& last_gate,
                        const at::Tensor& shift, const at::Tensor& scale, double eps, RowForm form) {
  using Optional = const std::optional<at::Tensor>&;
  static const auto run = operation<std::tuple<at::Tensor, at::Tensor, at::Tensor>(
      const at::Tensor&, Optional, Optional, const at::Tensor&, Optional, Optional, const at::Tensor&,
      const at::Tensor&, double, bool)>("latentcast::residual_sum_norm");
  auto [sum, values, scales] =
      run.call(x, y, gate, c, f, last_gate, shift, scale, eps, form == RowForm::kFp8);
  return {std::move(sum), {std::move(values), std::move(scales)}};
}

}  // namespace

SumAndNorm gated_residuals_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                                const at::Tensor& c, const at::Tensor& f, const at::Tensor& last_gate,
                                const at::Tensor& shift, const at::Tensor& scale, double eps, RowForm form) {
  return run_sum_norm(x, y, gate, c, f, last_gate, shift, scale, eps, form);
}

SumAndNorm residual_norm(const at::Tensor& x, const at::Tensor& c, const at::Tensor& shift,
                         const at::Tensor& scale, double eps, RowForm form) {
  return run_sum_norm(x, {}, {}, c, {}, {}, shift, scale, eps, form);
}

Rows gated_residual_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                         const at::Tensor& weight, const at::Tensor& bias, double eps, RowForm form) {
  static const auto run =
      operation<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                   const at::Tensor&, const at::Tensor&, double, bool)>(
          "latentcast::gated_residual_norm");
  auto [values, scales] = run.call(x, y, gate, weight, bias, eps, form == RowForm::kFp8);
  return {std::move(values), std::move(scales)};
}

Rows residual_modulated_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                             const at::Tensor& c, const at::Tensor& shift, const at::Tensor& scale,
                             double eps, RowForm form) {
  static const auto run = operation<std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
      const at::Tensor&, double, bool)>("latentcast::residual_modulated_norm");
  auto [values, scales] = run.call(x, y, gate, c, shift, scale, eps, form == RowForm::kFp8);
  return {std::move(values), std::move(scales)};
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
      "gated_residual_norm(Tensor x, Tensor y, Tensor gate, Tensor weight, Tensor bias, float eps, bool fp8) "
      "-> "
      "(Tensor, Tensor)");
  library.def(
      "residual_modulated_norm(Tensor x, Tensor y, Tensor gate, Tensor c, Tensor shift, Tensor scale, float "
      "eps, "
      "bool fp8) -> (Tensor, Tensor)");
  library.def(
      "gated_residuals(Tensor x, Tensor y, Tensor gate, Tensor c, Tensor f, Tensor last_gate) -> Tensor");
  library.def(
      "residual_sum_norm(Tensor x, Tensor? y, Tensor? gate, Tensor c, Tensor? f, Tensor? last_gate, "
      "Tensor shift, Tensor scale, float eps, bool fp8) -> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(latentcast, CPU, library) {
  library.impl("gated_residual_norm", &gated_residual_norm_cpu);
  library.impl("residual_modulated_norm", &residual_modulated_norm_cpu);
  library.impl("gated_residuals", &gated_residuals_cpu);
  library.impl("residual_sum_norm", &residual_sum_norm_cpu);
}

}  // namespace latentcast
