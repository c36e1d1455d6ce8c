#include "latentcast/kernels/yuv420p.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

at::Tensor flat(float r, float g, float b) {
  return at::tensor({r, g, b}).view({3, 1, 1, 1}).expand({3, 1, 4, 6}) / 127.5f - 1.0f;
}

void expect_colour(const at::Tensor& yuv, int y, int u, int v) {
  ASSERT_EQ(yuv.sizes(), at::IntArrayRef({1, 36}));
  EXPECT_TRUE((yuv.narrow(1, 0, 24) == y).all().item<bool>()) << yuv;
  EXPECT_TRUE((yuv.narrow(1, 24, 6) == u).all().item<bool>()) << yuv;
  EXPECT_TRUE((yuv.narrow(1, 30, 6) == v).all().item<bool>()) << yuv;
}

TEST(Yuv420p, KnownColoursOfBt709) {
  expect_colour(to_yuv420p(flat(0, 0, 0)), 16, 128, 128);
  expect_colour(to_yuv420p(flat(255, 255, 255)), 235, 128, 128);
  expect_colour(to_yuv420p(flat(100, 100, 100)), 102, 128, 128);
  expect_colour(to_yuv420p(flat(255, 0, 0)), 63, 102, 240);
  expect_colour(to_yuv420p(flat(0, 255, 0)), 173, 42, 26);
  expect_colour(to_yuv420p(flat(0, 0, 255)), 32, 240, 118);
}

/// The definition in double precision, on RGB rounded to 8 bits.
at::Tensor reference(const at::Tensor& frames) {
  const at::Tensor rgb = to_rgb24(frames).to(at::kDouble).permute({3, 0, 1, 2});
  const at::Tensor r = rgb[0], g = rgb[1], b = rgb[2];
  const at::Tensor luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  const at::Tensor y = 16 + luma * (219.0 / 255);
  const auto smaller = [&](const at::Tensor& plane) {
    const at::Tensor rows = at::avg_pool2d(plane.unsqueeze(1), {2, 1});
    const at::Tensor wide = at::replication_pad2d(rows, {1, 0, 0, 0});
    const int64_t w = plane.size(2);
    const auto from = [&](int64_t begin) { return wide.slice(3, begin, begin + w - 1, 2); };
    return (from(0) + 2 * from(1) + from(2)).div(4).squeeze(1);
  };
  const at::Tensor u = smaller(128 + (b - luma) / 1.8556 * (224.0 / 255));
  const at::Tensor v = smaller(128 + (r - luma) / 1.5748 * (224.0 / 255));
  return at::cat({y.flatten(1), u.flatten(1), v.flatten(1)}, 1);
}

TEST(Yuv420p, IsTheDefinitionRoundedWhateverTheStrides) {
  at::manual_seed(3);
  const at::Tensor frames = at::rand({3, 5, 22, 34}) * 2 - 1;
  const at::Tensor got = to_yuv420p(frames), wanted = reference(frames);
  ASSERT_EQ(got.sizes(), wanted.sizes());
  EXPECT_LT((got.to(at::kDouble) - wanted).abs().max().item<double>(), 0.51);
  const at::Tensor channels_last = frames.permute({1, 2, 3, 0}).contiguous().permute({3, 0, 1, 2});
  EXPECT_TRUE(at::equal(to_yuv420p(channels_last), got));
}

TEST(Yuv420p, ClampsAndTakesNaNForBlack) {
  expect_colour(to_yuv420p(flat(0, 0, 0) - 5), 16, 128, 128);
  expect_colour(to_yuv420p(flat(255, 255, 255) + 1e30f), 235, 128, 128);
  expect_colour(to_yuv420p(at::full({3, 1, 4, 6}, std::numeric_limits<float>::quiet_NaN())), 16, 128, 128);
}

TEST(Yuv420p, RefusesOddSides) {
  EXPECT_THROW(to_yuv420p(at::zeros({3, 1, 5, 6})), c10::Error);
  EXPECT_THROW(to_yuv420p(at::zeros({4, 1, 4, 6})), c10::Error);
}

}  // namespace
}  // namespace latentcast
