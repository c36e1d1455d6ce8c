#include "latentcast/kernels/quantize.h"

#include "fp8.h"
#include "operation.h"
#include <ATen/ATen.h>
#include <torch/library.h>

#include "latentcast/kernels/dequantize.h"

namespace latentcast {

std::tuple<at::Tensor, at::Tensor> quantize_in_float(const at::Tensor& x) {
  constexpr double kLeast = 1e-30;
  const at::Tensor numbers = at::where(x.isnan(), 0.0, x.abs());
  const at::Tensor largest = numbers.amax({-1}, /*keepdim=*/true).clamp_min(kLeast);
  const at::Tensor scaled = x * (at::full_like(largest, kFp8Largest) / largest);
  // The conversion makes NaN of what is too large, which rounding up may give.
  return {scaled.clamp(-kFp8Largest, kFp8Largest).to(at::kFloat8_e4m3fn), largest / kFp8Largest};
}

namespace {

std::tuple<at::Tensor, at::Tensor> quantize_cpu(const at::Tensor& x, bool gelu) {
  const at::Tensor wide = x.to(at::kFloat);
  return quantize_in_float(gelu ? at::gelu(wide, "tanh") : wide);
}

at::Tensor in_float(const Rows& rows) { return rows.values.to(at::kFloat).mul_(rows.scale); }

void dequantize_cpu(const at::Tensor& values, const at::Tensor& scale, const at::Tensor& out) {
  out.copy_(in_float({values, scale}));
}

Rows run_quantize(const at::Tensor& x, bool gelu) {
  static const auto run =
      operation<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, bool)>("latentcast::quantize");
  auto [values, scale] = run.call(x, gelu);
  return {std::move(values), std::move(scale)};
}

}  // namespace

Rows quantize(const at::Tensor& x) { return run_quantize(x, false); }

Rows gelu_quantize(const at::Tensor& x) { return run_quantize(x, true); }

void dequantize(const Rows& rows, const at::Tensor& out) {
  static const auto run =
      operation<void(const at::Tensor&, const at::Tensor&, const at::Tensor&)>("latentcast::dequantize");
  run.call(rows.values, rows.scale, out);
}

at::Tensor fp8_linear(const Rows& x, const Rows& weight, const at::Tensor& bias) {
  if (x.values.is_cuda()) {
    return at::_scaled_mm(x.values, weight.values.t(), x.scale, weight.scale.t(), bias, /*scale_result=*/{},
                          bias.scalar_type(), /*use_fast_accum=*/true);
  }
  return at::linear(in_float(x), in_float(weight), bias.to(at::kFloat)).to(bias.scalar_type());
}

void fp8_linear_into(const Rows& x, const Rows& weight, const at::Tensor& bias, const at::Tensor& out) {
  if (x.values.is_cuda()) {
    at::Tensor to = out;
    at::_scaled_mm_out(to, x.values, weight.values.t(), x.scale, weight.scale.t(), bias, /*scale_result=*/{},
                       bias.scalar_type(), /*use_fast_accum=*/true);
    return;
  }
  out.copy_(fp8_linear(x, weight, bias));
}

TORCH_LIBRARY_FRAGMENT(latentcast, library) {
  library.def("quantize(Tensor x, bool gelu) -> (Tensor, Tensor)");
  library.def("dequantize(Tensor values, Tensor scale, Tensor(a!) out) -> ()");
}

TORCH_LIBRARY_IMPL(latentcast, CPU, library) {
  library.impl("quantize", &quantize_cpu);
  library.impl("dequantize", &dequantize_cpu);
}

}  // namespace latentcast
