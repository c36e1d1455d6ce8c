#include "latentcast/kernels/quantize.h"

#include <limits>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/kernels/modulated_norm.h"
#include "latentcast/kernels/residual.h"

namespace latentcast {
namespace {

at::Tensor in_double(const Rows& rows) { return rows.values.to(at::kDouble) * rows.scale.to(at::kDouble); }

double relative(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
}

TEST(Quantize, LargestOfARowIs448AndTheRestIsNearest) {
  at::manual_seed(1);
  const at::Tensor x =
      at::randn({5, 64}) * at::tensor({1e-6, 1.0, 100.0, 1e6, 3.0}).to(at::kFloat).unsqueeze(1);
  const Rows rows = quantize(x);
  EXPECT_EQ(rows.values.scalar_type(), at::kFloat8_e4m3fn);
  EXPECT_EQ(rows.scale.sizes(), at::IntArrayRef({5, 1}));
  EXPECT_TRUE((rows.values.to(at::kFloat).abs().amax(-1) == 448).all().item<bool>());
  // e4m3 has 3 bits after the point: half a unit is a sixteenth at most; below 2⁻⁶ the unit is 2⁻⁹.
  const at::Tensor off = (in_double(rows) - x.to(at::kDouble)).abs();
  const at::Tensor allowed =
      at::maximum(x.abs().to(at::kDouble) / 16, rows.scale.to(at::kDouble) * 0x1p-10) * 1.00001;
  EXPECT_TRUE((off <= allowed).all().item<bool>());
}

TEST(Quantize, KeepsZerosAndNaN) {
  at::Tensor x = at::randn({3, 16});
  x[0].zero_();
  x[1][3] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor y = in_double(quantize(x));
  EXPECT_TRUE((y[0] == 0).all().item<bool>());
  EXPECT_TRUE(y[1][3].isnan().item<bool>());
  EXPECT_EQ(y.isnan().sum().item<int64_t>(), 1);
}

TEST(Quantize, AfterGelu) {
  at::manual_seed(2);
  const at::Tensor x = at::randn({4, 48});
  const Rows wanted = quantize(at::gelu(x, "tanh")), given = gelu_quantize(x);
  EXPECT_TRUE(given.values.to(at::kFloat).equal(wanted.values.to(at::kFloat)));
  EXPECT_TRUE(given.scale.equal(wanted.scale));
}

TEST(Quantize, NormsGiveWhatTheyWouldQuantized) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({4, 32}), y = at::randn({4, 32}), c = at::randn({4, 32}),
                   v = at::randn({4, 32});
  const auto same = [](const Rows& fp8, const Rows& plain) {
    const Rows wanted = quantize(plain.values);
    return fp8.values.to(at::kFloat).equal(wanted.values.to(at::kFloat)) && fp8.scale.equal(wanted.scale);
  };
  const RowForm fp8 = RowForm::kFp8;
  EXPECT_TRUE(same(modulated_norm(x, v.narrow(0, 0, 1), v.narrow(0, 1, 1), 1e-6, 1, fp8),
                   modulated_norm(x, v.narrow(0, 0, 1), v.narrow(0, 1, 1), 1e-6)));
  EXPECT_TRUE(same(gated_residual_norm(x, y, v[0], v[1], v[2], 1e-6, fp8),
                   gated_residual_norm(x, y, v[0], v[1], v[2], 1e-6)));
  EXPECT_TRUE(same(residual_modulated_norm(x, y, v[0], c, v[1], v[2], 1e-6, fp8),
                   residual_modulated_norm(x, y, v[0], c, v[1], v[2], 1e-6)));
}

TEST(Quantize, ProductIsThatOfTheQuantizedNumbers) {
  at::manual_seed(4);
  const at::Tensor x = at::randn({6, 64}), weight = at::randn({32, 64}) / 8, bias = at::randn({32});
  const Rows rows = quantize(x), weights = quantize(weight);
  const at::Tensor y = fp8_linear(rows, weights, bias);
  EXPECT_LT(relative(y, at::linear(in_double(rows), in_double(weights), bias.to(at::kDouble))), 1e-6);
  const double error = relative(y, at::linear(x, weight, bias));
  EXPECT_GT(error, 1e-3);
  EXPECT_LT(error, 0.05);
  const at::Tensor out = at::empty({6, 32});
  fp8_linear_into(rows, weights, bias, out);
  EXPECT_TRUE(out.equal(y));
}

}  // namespace
}  // namespace latentcast
