#include "latentcast/kernels/modulated_norm.h"

#include "fp8.h"
#include "operation.h"
#include <ATen/ATen.h>
#include <torch/library.h>

namespace latentcast {
namespace {

std::tuple<at::Tensor, at::Tensor> modulated_norm_cpu(const at::Tensor& x, const at::Tensor& shift,
                                                      const at::Tensor& scale, double eps, int64_t copies,
                                                      bool fp8) {
  const int64_t groups = shift.size(0), dim = x.size(1), rows = copies * x.size(0);
  TORCH_CHECK(groups > 0 && rows % groups == 0, "modulated_norm: ", rows, " rows can't be divided among ",
              groups, " groups");
  const at::Tensor normed = at::layer_norm(x.to(at::kFloat), {dim}, {}, {}, eps);
  const auto by_group = [&](const at::Tensor& t) { return t.unsqueeze(1); };
  const at::Tensor wide = copies == 1 ? normed : normed.repeat({copies, 1});
  at::Tensor y = wide.view({groups, rows / groups, dim}).mul_(by_group(1 + scale)).add_(by_group(shift));
  return given_as(y.view({rows, dim}), x.scalar_type(), fp8);
}

}  // namespace

Rows modulated_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double eps,
                    int64_t copies, RowForm form) {
  static const auto run =
      operation<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                   double, int64_t, bool)>("latentcast::modulated_norm");
  auto [values, rows_scale] = run.call(x, shift, scale, eps, copies, form == RowForm::kFp8);
  return {std::move(values), std::move(rows_scale)};
}

TORCH_LIBRARY_FRAGMENT(latentcast, library) {
  library.def(
      "modulated_norm(Tensor x, Tensor shift, Tensor scale, float eps, int copies, bool fp8) -> (Tensor, "
      "Tensor)");
}

TORCH_LIBRARY_IMPL(latentcast, CPU, library) { library.impl("modulated_norm", &modulated_norm_cpu); }

}  // namespace latentcast
