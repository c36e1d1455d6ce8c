#include "latentcast/kernels/causal_conv.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/kernels/channel_norm.h"

namespace latentcast {
namespace {

constexpr auto kLast = at::MemoryFormat::ChannelsLast3d;

at::Tensor random(at::IntArrayRef sizes) { return at::randn(sizes).contiguous(kLast); }

void expect_near(const at::Tensor& got, const at::Tensor& wanted) {
  ASSERT_EQ(got.sizes(), wanted.sizes());
  EXPECT_LT((got - wanted).abs().max().item<float>(), 2e-5f * wanted.abs().max().item<float>());
}

TEST(CausalConv, SpaceTimeWithResidualAndNorm) {
  at::manual_seed(1);
  const at::Tensor weight = at::randn({96, 64, 3, 3, 3}) / 40, bias = at::randn({96}),
                   gain = at::randn({96}) * 9;
  const at::Tensor past = random({1, 64, 2, 5, 6}), x = random({1, 64, 3, 5, 6}),
                   other = random({1, 96, 3, 5, 6});
  const PackedConv conv = pack_conv(ConvKind::kSpaceTime, weight, bias, 96);
  const ConvResult result = causal_conv(conv, past, x, other, gain, /*keep_sum=*/true);
  const at::Tensor wanted =
      at::conv3d(at::cat({past, x}, 2), weight, bias, 1, at::IntArrayRef({0, 1, 1})) + other;
  expect_near(result.sum, wanted);
  const at::Tensor active = at::empty_like(wanted);
  channel_norm(wanted, gain, active, true);
  expect_near(result.active, active);
  EXPECT_FALSE(causal_conv(conv, past, x, other, gain, /*keep_sum=*/false).sum.defined());
  const at::Tensor place = other.clone(kLast);
  const ConvResult over = causal_conv_over(conv, past, x, place, gain);
  EXPECT_TRUE(over.sum.is_same(place) && place.equal(result.sum) && over.active.equal(result.active));
}

TEST(CausalConv, FewAndManyOutputs) {
  at::manual_seed(2);
  const at::Tensor past = random({1, 32, 2, 4, 4}), x = random({1, 32, 2, 4, 4});
  for (const auto& [out, columns] : {std::pair{3, 8}, {384, 192}}) {
    const at::Tensor weight = at::randn({out, 32, 3, 3, 3}) / 30, bias = at::randn({out});
    const PackedConv conv = pack_conv(ConvKind::kSpaceTime, weight, bias, columns);
    EXPECT_FALSE(conv.takes_norm());
    expect_near(causal_conv(conv, past, x, {}, {}, true).sum,
                at::conv3d(at::cat({past, x}, 2), weight, bias, 1, at::IntArrayRef({0, 1, 1})));
  }
}

TEST(CausalConv, TimeDoublingPutsHalvesOneAfterTheOther) {
  at::manual_seed(3);
  const at::Tensor weight = at::randn({128, 32, 3, 1, 1}), bias = at::randn({128});
  const at::Tensor past = random({1, 32, 2, 4, 5}), x = random({1, 32, 3, 4, 5});
  const at::Tensor got =
      causal_conv(pack_conv(ConvKind::kTimeDoubling, weight, bias, 64), past, x, {}, {}, true).sum;
  const at::Tensor both = at::conv3d(at::cat({past, x}, 2), weight, bias);
  for (int64_t frame = 0; frame < 6; ++frame) {
    expect_near(got.select(2, frame), both.narrow(1, frame % 2 * 64, 64).select(2, frame / 2));
  }
}

TEST(CausalConv, PictureDoublingAndPoint) {
  at::manual_seed(4);
  const at::Tensor weight = at::randn({96, 32, 1, 3, 3}) / 20, bias = at::randn({96}),
                   x = random({1, 32, 2, 3, 5});
  const at::Tensor large = x.repeat_interleave(2, 3).repeat_interleave(2, 4);
  expect_near(causal_conv(pack_conv(ConvKind::kPictureDoubling, weight, bias, 96), {}, x, {}, {}, true).sum,
              at::conv3d(large, weight, bias, 1, at::IntArrayRef({0, 1, 1})));
  const at::Tensor point = at::randn({192, 32, 1, 1, 1});
  expect_near(causal_conv(pack_conv(ConvKind::kPoint, point, at::zeros({192}), 192), {}, x, {}, {}, true).sum,
              at::conv3d(x, point));
}

TEST(CausalConv, NoKernelOnACpu) {
  EXPECT_EQ(conv_columns(at::empty({0}, at::kBFloat16), ConvKind::kSpaceTime, 96, 96), 0);
}

}  // namespace
}  // namespace latentcast
