// CPU twins of the norms, rotations and residuals, against the same in double.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/kernels/linear_gelu.h"
#include "latentcast/kernels/modulated_norm.h"
#include "latentcast/kernels/residual.h"
#include "latentcast/kernels/rotated_norm.h"

namespace latentcast {
namespace {

constexpr double kEpsilon = 1e-6;

at::Tensor wide(const at::Tensor& x) { return x.to(at::kDouble); }

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (wide(a) - wide(b)).abs().max().item<double>();
}

at::Tensor plain_rms(const at::Tensor& x, const at::Tensor& weight) {
  const at::Tensor w = wide(x);
  return w / (w.square().mean({-1}, true) + kEpsilon).sqrt() * wide(weight);
}

at::Tensor plain_layer_norm_of(const at::Tensor& x) {
  const at::Tensor centred = x - x.mean({-1}, true);
  return centred / (centred.square().mean({-1}, true) + kEpsilon).sqrt();
}

/// x [rows, heads, d] turned by angle [rows, d / 2], a pair at a time.
at::Tensor plain_rotation(const at::Tensor& x, const at::Tensor& angle) {
  at::Tensor y = at::empty(x.sizes(), at::kDouble);
  for (int64_t row = 0; row < x.size(0); ++row) {
    for (int64_t i = 0; i < x.size(2); i += 2) {
      const at::Tensor re = wide(x[row].select(1, i)), im = wide(x[row].select(1, i + 1));
      const at::Tensor cos = wide(angle[row][i / 2]).cos(), sin = wide(angle[row][i / 2]).sin();
      y[row].select(1, i).copy_(re * cos - im * sin);
      y[row].select(1, i + 1).copy_(re * sin + im * cos);
    }
  }
  return y;
}

at::Tensor table_of(const at::Tensor& angle) { return at::complex(angle.cos(), angle.sin()).unsqueeze(1); }

TEST(RowTwins, RmsNormOfAnyShape) {
  at::manual_seed(1);
  const at::Tensor x = at::randn({2, 5, 24}) * 4, weight = at::randn({24});
  EXPECT_LT(difference(rms_norm(x, weight, kEpsilon), plain_rms(x, weight)), 1e-5);
  const at::Tensor low = x.to(at::kBFloat16), low_weight = weight.to(at::kBFloat16);
  EXPECT_TRUE(rms_norm(low, low_weight, kEpsilon)
                  .equal(rms_norm(low.to(at::kFloat), low_weight.to(at::kFloat), kEpsilon).to(at::kBFloat16)))
      << "one rounding";
}

TEST(RowTwins, QueriesAndKeysOfOneProductIntoACache) {
  at::manual_seed(2);
  const int64_t rows = 4, heads = 3, d = 8, dim = heads * d;
  const at::Tensor both = at::randn({rows, 2 * dim}), weight = at::randn({2, dim}),
                   angle = at::randn({rows, d / 2});
  const at::Tensor query = at::empty({rows, heads, d}), cache = at::full({rows + 2, heads, d}, 7.0);
  rotate_query_key(both.narrow(1, 0, dim), both.narrow(1, dim, dim), weight[0], weight[1], table_of(angle),
                   kEpsilon, query, cache.narrow(0, 1, rows));
  const auto plain = [&](int64_t part) {
    return plain_rotation(plain_rms(both.narrow(1, part * dim, dim), weight[part]).view({rows, heads, d}),
                          angle);
  };
  EXPECT_LT(difference(query, plain(0)), 1e-5);
  EXPECT_LT(difference(cache.narrow(0, 1, rows), plain(1)), 1e-5);
  EXPECT_TRUE((cache[0] == 7).all().item<bool>() && (cache[rows + 1] == 7).all().item<bool>());
  const at::Tensor out = at::empty({rows, heads, d});
  rotate_rows(query, table_of(angle), out);
  EXPECT_LT(difference(out, plain_rotation(query, angle)), 1e-5);
}

TEST(RowTwins, OneProductForQueriesKeysAndValues) {
  at::manual_seed(5);
  const int64_t rows = 4, heads = 2, d = 8, dim = heads * d;
  const at::Tensor product = at::randn({rows, 3 * dim}), weight = at::randn({2, dim});
  const at::Tensor rope = table_of(at::randn({rows, d / 2}));
  at::Tensor q[2], k[2];
  for (int i = 0; i < 2; ++i) q[i] = at::empty({rows, heads, d}), k[i] = at::empty({rows, heads, d});
  const at::Tensor value = at::empty({rows, heads, d});
  split_query_key_value(product, weight[0], weight[1], rope, kEpsilon, q[0], k[0], value);
  rotate_query_key(product.narrow(1, 0, dim), product.narrow(1, dim, dim), weight[0], weight[1], rope,
                   kEpsilon, q[1], k[1]);
  EXPECT_TRUE(q[0].equal(q[1]) && k[0].equal(k[1]));
  EXPECT_TRUE(value.view({rows, dim}).equal(product.narrow(1, 2 * dim, dim)));
}

TEST(RowTwins, Residuals) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({5, 16}), y = at::randn({5, 16}), c = at::randn({5, 16}),
                   f = at::randn({5, 16});
  const at::Tensor v = at::randn({6, 16});
  const at::Tensor first = wide(x) + wide(y) * wide(v[0]), second = first + wide(c);
  EXPECT_LT(difference(gated_residual_norm(x, y, v[0], v[1], v[2], kEpsilon).values,
                       plain_layer_norm_of(first) * wide(v[1]) + wide(v[2])),
            1e-5);
  EXPECT_LT(difference(residual_modulated_norm(x, y, v[0], c, v[3], v[4], kEpsilon).values,
                       plain_layer_norm_of(second) * (1 + wide(v[4])) + wide(v[3])),
            1e-5);
  EXPECT_LT(difference(gated_residuals(x, y, v[0], c, f, v[5]), second + wide(f) * wide(v[5])), 1e-5);
}

TEST(RowTwins, SumsWithTheirNorms) {
  at::manual_seed(6);
  const at::Tensor x = at::randn({6, 16}), y = at::randn({6, 16}), c = at::randn({6, 16}),
                   f = at::randn({6, 16}), v = at::randn({6, 16});
  const at::Tensor shift = v.narrow(0, 2, 2), scale = v.narrow(0, 4, 2);  // two groups of three rows
  const auto normed = [&](const at::Tensor& sum) {
    const at::Tensor by_row = plain_layer_norm_of(sum);
    return by_row * (1 + wide(scale).repeat_interleave(3, 0)) + wide(shift).repeat_interleave(3, 0);
  };
  const at::Tensor all = wide(x) + wide(y) * wide(v[0]) + wide(c) + wide(f) * wide(v[1]);
  const SumAndNorm four = gated_residuals_norm(x, y, v[0], c, f, v[1], shift, scale, kEpsilon);
  EXPECT_LT(difference(four.sum, all), 1e-5);
  EXPECT_LT(difference(four.normed.values, normed(all)), 1e-5);
  const SumAndNorm two = residual_norm(x, c, shift, scale, kEpsilon);
  EXPECT_LT(difference(two.sum, wide(x) + wide(c)), 1e-5);
  EXPECT_LT(difference(two.normed.values, normed(wide(x) + wide(c))), 1e-5);
  // In 8 bits as by the two operations one after the other.
  const SumAndNorm low = residual_norm(x, c, shift, scale, kEpsilon, RowForm::kFp8);
  const Rows after = modulated_norm(x + c, shift, scale, kEpsilon, 1, RowForm::kFp8);
  EXPECT_TRUE(low.normed.values.to(at::kFloat).equal(after.values.to(at::kFloat)) &&
              low.normed.scale.equal(after.scale));
}

TEST(RowTwins, LinearWithGelu) {
  at::manual_seed(4);
  const at::Tensor x = at::randn({5, 16}), weight = at::randn({24, 16}), bias = at::randn({24});
  EXPECT_LT(difference(linear_gelu(x, weight, bias),
                       at::gelu(at::linear(wide(x), wide(weight), wide(bias)), "tanh")),
            1e-5);
}

}  // namespace
}  // namespace latentcast
