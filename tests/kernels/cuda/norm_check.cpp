// Our CUDA kernels against their CPU twins in float32. Run on a machine with a GPU: kernel_check
#include "parity.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/kernels/linear_gelu.h"
#include "latentcast/kernels/modulated_norm.h"
#include "latentcast/kernels/residual.h"
#include "latentcast/kernels/rotated_norm.h"

namespace latentcast::test {
namespace {

/// Lengths of rows: each of the kernels' forms, full and not.
class RowLengths : public testing::TestWithParam<int64_t> {};

TEST_P(RowLengths, ModulatedNorm) {
  const int64_t dim = GetParam();
  const at::Tensor both = at::randn({3, 2 * dim});
  const at::Tensor shift = both.narrow(1, 0, dim), scale = both.narrow(1, dim, dim);
  for (const auto& [name, input] : row_inputs(6, dim)) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = input.to(type);
      const at::Tensor twin = modulated_norm(x.to(at::kFloat), shift, scale, 1e-6, 2).values;
      const at::Tensor on_gpu = both.to(gpu());
      const at::Tensor ours =
          modulated_norm(x.to(gpu()), on_gpu.narrow(1, 0, dim), on_gpu.narrow(1, dim, dim), 1e-6, 2).values;
      EXPECT_EQ(ours.scalar_type(), type);
      expect_close(ours, twin, "modulated_norm, " + name + ", " + std::to_string(dim), 1e-5);
    }
  }
}

at::Tensor random_rope(int64_t rows, int64_t head_dim) {
  const at::Tensor angle = at::randn({rows, 1, head_dim / 2});
  return at::complex(at::cos(angle), at::sin(angle));
}

TEST_P(RowLengths, RmsNorm) {
  const int64_t dim = GetParam();
  const at::Tensor weight = as_bf16(at::randn({dim}));
  for (const auto& [name, input] : row_inputs(5, dim)) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = input.to(type);
      const at::Tensor ours = rms_norm(x.to(gpu()), weight.to(type).to(gpu()), 1e-6);
      expect_close(ours, rms_norm(x.to(at::kFloat), weight, 1e-6),
                   "rms_norm, " + name + ", " + std::to_string(dim));
    }
  }
}

TEST_P(RowLengths, RotatedQueriesAndKeys) {
  const int64_t dim = GetParam(), rows = 5, heads = dim / 8;
  const at::Tensor weight = as_bf16(at::randn({2, dim})), rope = random_rope(rows, 8);
  for (const auto& [name, input] : row_inputs(rows, dim)) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      // Halves of one product in, a part of a cache out.
      const at::Tensor x = at::cat({input, input.flip(0)}, 1).to(type), wide = x.to(at::kFloat);
      const at::Tensor q = at::empty({rows, heads, 8}), k = at::empty({rows, heads, 8});
      rotate_query_key(wide.narrow(1, 0, dim), wide.narrow(1, dim, dim), weight[0], weight[1], rope, 1e-6, q,
                       k);
      const at::Tensor there = x.to(gpu()), weights = weight.to(type).to(gpu());
      const at::Tensor our_q = at::empty({rows, heads, 8}, there.options());
      const at::Tensor cache = at::full({rows + 4, heads, 8}, 7.0, there.options());
      rotate_query_key(there.narrow(1, 0, dim), there.narrow(1, dim, dim), weights[0], weights[1],
                       rope.to(gpu()), 1e-6, our_q, cache.narrow(0, 2, rows));
      const std::string what = "rotate_query_key, " + name + ", " + std::to_string(dim);
      expect_close(our_q.flatten(1), q.flatten(1), what);
      expect_close(cache.narrow(0, 2, rows).flatten(1), k.flatten(1), what);
      EXPECT_TRUE((cache.narrow(0, 0, 2) == 7).all().item<bool>() &&
                  (cache.narrow(0, rows + 2, 2) == 7).all().item<bool>());
    }
  }
}

TEST_P(RowLengths, SplitProduct) {
  const int64_t dim = GetParam(), rows = 5, heads = dim / 8;
  const at::Tensor weight = as_bf16(at::randn({2, dim})), rope = random_rope(rows, 8);
  for (const auto& [name, input] : row_inputs(rows, dim)) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = at::cat({input, input.flip(0), input + 1}, 1).to(type);
      at::Tensor twin[3], ours[3];
      for (int i = 0; i < 3; ++i) {
        twin[i] = at::empty({rows, heads, 8});
        ours[i] = at::empty({rows, heads, 8}, x.options().device(gpu()));
      }
      const at::Tensor weights = weight.to(type).to(gpu());
      split_query_key_value(x.to(at::kFloat), weight[0], weight[1], rope, 1e-6, twin[0], twin[1], twin[2]);
      split_query_key_value(x.to(gpu()), weights[0], weights[1], rope.to(gpu()), 1e-6, ours[0], ours[1],
                            ours[2]);
      for (int i = 0; i < 3; ++i) {
        expect_close(ours[i].flatten(1), twin[i].flatten(1),
                     "split_query_key_value, " + name + ", " + std::to_string(dim));
      }
    }
  }
}

TEST_P(RowLengths, RotatedRows) {
  const int64_t dim = GetParam(), rows = 5, heads = dim / 8;
  const at::Tensor rope = random_rope(rows, 8);
  for (const auto& [name, input] : row_inputs(rows, dim)) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = input.to(type).view({rows, heads, 8}), twin = at::empty({rows, heads, 8});
      rotate_rows(x.to(at::kFloat), rope, twin);
      const at::Tensor ours = at::empty_like(x, x.options().device(gpu()));
      rotate_rows(x.to(gpu()), rope.to(gpu()), ours);
      expect_close(ours.flatten(1), twin.flatten(1), "rotate_rows, " + name + ", " + std::to_string(dim));
    }
  }
}

TEST_P(RowLengths, Residuals) {
  const int64_t dim = GetParam(), rows = 5;
  const at::Tensor gates = at::randn({4, dim}), affine = as_bf16(at::randn({2, dim}));
  const at::Tensor others = as_bf16(at::randn({3, rows, dim}));
  for (const auto& [name, input] : row_inputs(rows, dim)) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const auto there = [&](const at::Tensor& t) { return t.to(type).to(gpu()); };
      const at::Tensor x = input.to(type), wide = x.to(at::kFloat);
      const at::Tensor y = there(others[0]), c = there(others[1]), f = there(others[2]), g = gates.to(gpu());
      const std::string what = ", " + name + ", " + std::to_string(dim);
      expect_close(gated_residual_norm(x.to(gpu()), y, g[0], there(affine[0]), there(affine[1]), 1e-6).values,
                   gated_residual_norm(wide, others[0], gates[0], affine[0], affine[1], 1e-6).values,
                   "gated_residual_norm" + what, 1e-5);
      expect_close(
          residual_modulated_norm(x.to(gpu()), y, g[0], c, g[1], g[2], 1e-6).values,
          residual_modulated_norm(wide, others[0], gates[0], others[1], gates[1], gates[2], 1e-6).values,
          "residual_modulated_norm" + what, 1e-5);
      expect_close(gated_residuals(x.to(gpu()), y, g[0], c, f, g[3]),
                   gated_residuals(wide, others[0], gates[0], others[1], others[2], gates[3]),
                   "gated_residuals" + what);
    }
  }
}

TEST_P(RowLengths, SumsWithTheirNorms) {
  const int64_t dim = GetParam(), rows = 6;
  const at::Tensor v = at::randn({6, dim}), there = v.to(gpu());
  const at::Tensor others = as_bf16(at::randn({3, rows, dim}));
  for (const auto& [name, input] : row_inputs(rows, dim)) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = input.to(type).to(gpu()), y = others[0].to(type).to(gpu()),
                       c = others[1].to(type).to(gpu()), f = others[2].to(type).to(gpu());
      const std::string what = ", " + name + ", " + std::to_string(dim);
      for (const RowForm form : {RowForm::kPlain, RowForm::kFp8}) {
        // The same as by two kernels, to the bit, in groups of rows and in one.
        for (const int64_t groups : {1, 2}) {
          const at::Tensor shift = there.narrow(0, 2, groups), scale = there.narrow(0, 4, groups);
          const auto same = [&](const SumAndNorm& ours, const at::Tensor& sum) {
            const Rows normed = modulated_norm(sum, shift, scale, 1e-6, 1, form);
            // A NaN is a NaN, whatever else its bits say.
            const auto numbers = [](const at::Tensor& t) { return t.to(at::kFloat).nan_to_num(12345); };
            return numbers(ours.sum).equal(numbers(sum)) &&
                   numbers(ours.normed.values).equal(numbers(normed.values)) &&
                   (form == RowForm::kPlain || numbers(ours.normed.scale).equal(numbers(normed.scale)));
          };
          EXPECT_TRUE(same(gated_residuals_norm(x, y, there[0], c, f, there[1], shift, scale, 1e-6, form),
                           gated_residuals(x, y, there[0], c, f, there[1])))
              << "gated_residuals_norm" << what;
          EXPECT_TRUE(same(residual_norm(x, c, shift, scale, 1e-6, form), x + c)) << "residual_norm" << what;
        }
      }
    }
  }
}

TEST(Kernels, HeadsOfAnyEvenWidth) {
  at::manual_seed(9);
  for (const int64_t d : {2, 6, 12, 128}) {
    const int64_t rows = 7, heads = d > 96 ? 3 : 96 / d;
    const at::Tensor x = at::randn({rows, heads, d}), rope = random_rope(rows, d), twin = at::empty_like(x);
    rotate_rows(x, rope, twin);
    const at::Tensor ours = at::empty_like(x, x.options().device(gpu()));
    rotate_rows(x.to(gpu()), rope.to(gpu()), ours);
    expect_close(ours.flatten(1), twin.flatten(1), "rotate_rows, heads of " + std::to_string(d));
  }
}

TEST(Kernels, LinearWithGelu) {
  const at::Tensor x = as_bf16(at::randn({48, 64})), weight = as_bf16(at::randn({96, 64}) / 8),
                   bias = as_bf16(at::randn({96}));
  const at::Tensor twin = linear_gelu(x, weight, bias);
  expect_close(linear_gelu(x.to(gpu()), weight.to(gpu()), bias.to(gpu())), twin, "linear_gelu, float32",
               1e-5);
  const auto there = [](const at::Tensor& t) { return t.to(at::kBFloat16).to(gpu()); };
  expect_close(linear_gelu(there(x), there(weight), there(bias)), twin, "linear_gelu, bf16", 1e-5);
}

TEST(Kernels, RefuseRowsTheyCantTake) {
  const at::Tensor modulation = at::zeros({1, 12}, gpu());
  EXPECT_ANY_THROW(modulated_norm(at::zeros({2, 12}, gpu()), modulation, modulation, 1e-6));
  const at::Tensor wide = at::zeros({1, 16392}, gpu());
  EXPECT_ANY_THROW(modulated_norm(wide, wide, wide, 1e-6));
}

INSTANTIATE_TEST_SUITE_P(Rows, RowLengths, testing::Values(8, 64, 1000, 1536, 2048, 5120, 8192, 13824));

}  // namespace
}  // namespace latentcast::test
