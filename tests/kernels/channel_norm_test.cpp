#include "latentcast/kernels/channel_norm.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/kernels/conv3d.h"

namespace latentcast {
namespace {

at::Tensor reference(const at::Tensor& x, const at::Tensor& gain, bool silu) {
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor length = wide.square().sum(at::IntArrayRef({1}), true).sqrt().clamp_min(1e-12);
  const at::Tensor y = wide / length * gain.to(at::kDouble).view({1, -1, 1, 1, 1});
  return silu ? y * at::sigmoid(y) : y;
}

class ChannelNormShapes : public testing::TestWithParam<std::vector<int64_t>> {};

TEST_P(ChannelNormShapes, AgreesWithDoublePrecisionBehindAPast) {
  at::manual_seed(5);
  const std::vector<int64_t>& s = GetParam();
  const at::Tensor x = at::randn({1, s[0], s[1], s[2], s[3]}) * 3;
  const at::Tensor gain = at::randn({s[0]}) * std::sqrt(static_cast<double>(s[0]));
  for (const bool silu : {false, true}) {
    // Two frames of another's in front of each channel must stay as they are.
    const at::Tensor buffer = at::full({1, s[0], s[1] + 2, s[2], s[3]}, 7.0f);
    channel_norm(x, gain, buffer.narrow(2, 2, s[1]), silu);
    const at::Tensor wanted = reference(x, gain, silu);
    EXPECT_LT((buffer.narrow(2, 2, s[1]) - wanted).abs().max().item<double>(),
              1e-6 * wanted.abs().max().item<double>());
    EXPECT_TRUE((buffer.narrow(2, 0, 2) == 7.0f).all().item<bool>());
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ChannelNormShapes,
                         testing::Values(std::vector<int64_t>{8, 3, 16, 24}, std::vector<int64_t>{6, 1, 1, 1},
                                         std::vector<int64_t>{32, 2, 23, 23},
                                         std::vector<int64_t>{3, 4, 8, 65}));

TEST(ChannelNorm, ZerosStayZeroAndLargeValuesFinite) {
  at::Tensor x = at::zeros({1, 4, 1, 2, 2});
  x.select(4, 1).fill_(1e18f);
  const at::Tensor out = at::empty_like(x);
  channel_norm(x, at::full({4}, 200.0f), out, /*silu=*/true);
  EXPECT_TRUE((out.select(4, 0) == 0).all().item<bool>());
  EXPECT_TRUE(at::isfinite(out).all().item<bool>());
  channel_norm(x, at::full({4}, -200.0f), out, /*silu=*/true);
  EXPECT_LT(out.abs().max().item<float>(), 1e-6f);
}

TEST(Convolve, SmallFramesTakeTheSameValues) {
  at::manual_seed(6);
  const at::Tensor x = at::randn({1, 5, 4, 6, 7}), weight = at::randn({3, 5, 3, 3, 3}), bias = at::randn({3});
  const at::Tensor wanted = at::conv3d(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble),
                                       {1, 2, 2}, at::IntArrayRef({0, 1, 1}));
  EXPECT_LT((convolve(x, weight, bias, {1, 2, 2}, 1) - wanted).abs().max().item<double>(), 1e-4);
}

}  // namespace
}  // namespace latentcast
