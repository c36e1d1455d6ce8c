// Rows in 8 bits and products of them on a GPU, against their CPU twins.
#include "parity.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/kernels/dequantize.h"
#include "latentcast/kernels/modulated_norm.h"
#include "latentcast/kernels/residual.h"

namespace latentcast::test {
namespace {

/// Float32 sums in another order may bring a number to the other side of a rounding: then it is one unit off.
void expect_same_rows(const Rows& ours, const Rows& twin, const std::string& what) {
  expect_close(ours.scale, twin.scale, what + ", scales", 1e-5);
  const at::Tensor given = ours.values.to(at::kCPU).to(at::kDouble), wanted = twin.values.to(at::kDouble);
  EXPECT_TRUE(given.isnan().equal(wanted.isnan())) << what << ": NaN elsewhere than in the twin";
  const at::Tensor off = at::where(wanted.isnan(), 0.0, (given - wanted).abs());
  const at::Tensor unit =
      at::maximum(at::where(wanted.isnan(), 0.0, wanted.abs()) / 8, at::full_like(off, 0x1p-9));
  EXPECT_TRUE((off <= unit).all().item<bool>()) << what << ": more than a unit off";
  EXPECT_LE((off > 0).sum().item<int64_t>(), 2 + off.numel() / 200) << what << ": too many a unit off";
}

class Fp8Rows : public testing::TestWithParam<int64_t> {};

TEST_P(Fp8Rows, Quantized) {
  for (const auto& [name, input] : row_inputs(5, GetParam())) {
    const at::Tensor x = input.to(at::kBFloat16);
    const std::string what = name + ", " + std::to_string(GetParam());
    expect_same_rows(quantize(x.to(gpu())), quantize(x), "quantize, " + what);
    expect_same_rows(gelu_quantize(x.to(gpu())), gelu_quantize(x), "gelu_quantize, " + what);
  }
}

TEST_P(Fp8Rows, Unpacked) {
  if (GetParam() % 16 != 0) GTEST_SKIP() << "declined by name";
  for (const auto& [name, input] : row_inputs(5, GetParam())) {
    const Rows rows = quantize(input);
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor wanted = at::empty(input.sizes(), type), given = at::empty_like(wanted, gpu());
      dequantize(rows, wanted);
      dequantize({rows.values.to(gpu()), rows.scale.to(gpu())}, given);
      EXPECT_TRUE(at::equal(wanted.nan_to_num(), given.cpu().nan_to_num())) << name << ", " << GetParam();
      EXPECT_TRUE(wanted.isnan().equal(given.cpu().isnan())) << name;
    }
  }
}

TEST_P(Fp8Rows, Norms) {
  const int64_t dim = GetParam(), rows = 6;
  at::manual_seed(3);
  const at::Tensor v = at::randn({6, dim}), there = v.to(gpu());
  const at::Tensor affine = as_bf16(at::randn({2, dim})), others = as_bf16(at::randn({2, rows, dim}));
  const auto bf16 = [](const at::Tensor& t) { return t.to(at::kBFloat16).to(gpu()); };
  for (const auto& [name, input] : row_inputs(rows, dim)) {
    const at::Tensor x = input.to(at::kBFloat16), wide = x.to(at::kFloat);
    const std::string what = ", " + name + ", " + std::to_string(dim);
    const RowForm fp8 = RowForm::kFp8;
    expect_same_rows(modulated_norm(x.to(gpu()), there.narrow(0, 0, 2), there.narrow(0, 2, 2), 1e-6, 1, fp8),
                     modulated_norm(wide, v.narrow(0, 0, 2), v.narrow(0, 2, 2), 1e-6, 1, fp8),
                     "modulated_norm" + what);
    expect_same_rows(gated_residual_norm(x.to(gpu()), bf16(others[0]), there[0], bf16(affine[0]),
                                         bf16(affine[1]), 1e-6, fp8),
                     gated_residual_norm(wide, others[0], v[0], affine[0], affine[1], 1e-6, fp8),
                     "gated_residual_norm" + what);
    expect_same_rows(residual_modulated_norm(x.to(gpu()), bf16(others[0]), there[0], bf16(others[1]),
                                             there[1], there[2], 1e-6, fp8),
                     residual_modulated_norm(wide, others[0], v[0], others[1], v[1], v[2], 1e-6, fp8),
                     "residual_modulated_norm" + what);
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, Fp8Rows, testing::Values(64, 1000, 2048, 5120, 13824));

TEST(Fp8Product, AgreesWithItsTwin) {
  at::manual_seed(5);
  for (const auto& [m, k, n] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
           {3168, 5120, 1024}, {216, 64, 160}, {3, 64, 128}, {15, 512, 64}, {1, 64, 64}}) {
    const Rows x = quantize(at::randn({m, k})),
               weight = quantize(at::randn({n, k}) / std::sqrt(static_cast<double>(k)));
    const at::Tensor bias = as_bf16(at::randn({n}));
    const at::Tensor twin = fp8_linear(x, weight, bias);
    const auto there = [](const Rows& rows) { return Rows(rows.values.to(gpu()), rows.scale.to(gpu())); };
    const at::Tensor on_gpu = bias.to(at::kBFloat16).to(gpu()), out = at::empty({m, n}, on_gpu.options());
    const at::Tensor ours = fp8_linear(there(x), there(weight), on_gpu);
    const double error = ((ours.to(at::kCPU).to(at::kFloat) - twin).norm() / twin.norm()).item<double>();
    EXPECT_LT(error, 0.005) << m << " rows of " << k << ", " << n;
    fp8_linear_into(there(x), there(weight), on_gpu, out);
    EXPECT_TRUE(out.equal(ours));
  }
}

}  // namespace
}  // namespace latentcast::test
