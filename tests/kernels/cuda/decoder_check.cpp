// The autoencoder's CUDA kernels against their CPU twins in float32.
#include <cmath>
#include <limits>

#include "parity.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/kernels/causal_conv.h"
#include "latentcast/kernels/channel_norm.h"
#include "latentcast/kernels/yuv420p.h"

namespace latentcast::test {
namespace {

constexpr auto kLast = at::MemoryFormat::ChannelsLast3d;

at::Tensor to_gpu(const at::Tensor& x) { return x.to(gpu(), at::kBFloat16).contiguous(kLast); }

at::Tensor channels_behind(const at::Tensor& x) { return x.permute({0, 2, 3, 4, 1}).flatten(0, 3); }

struct Layer {
  const char* name;
  ConvKind kind;
  int64_t in, out, frames, height, width;
  bool residual, norm;
};

/// Shows a layer's name where a test fails.
void PrintTo(const Layer& layer, std::ostream* out) { *out << layer.name; }

class Convolutions : public testing::TestWithParam<Layer> {};

std::array<int64_t, 3> kernel_of(ConvKind kind) {
  switch (kind) {
    case ConvKind::kTimeDoubling:
      return {3, 1, 1};
    case ConvKind::kPictureDoubling:
      return {1, 3, 3};
    case ConvKind::kPoint:
      return {1, 1, 1};
    default:
      return {3, 3, 3};
  }
}

TEST_P(Convolutions, AgreeWithTheTwin) {
  const Layer& layer = GetParam();
  const int64_t columns = conv_columns(at::empty({0}, at::TensorOptions().device(gpu()).dtype(at::kBFloat16)),
                                       layer.kind, layer.in, layer.out);
  if (columns == 0) {
    GTEST_SKIP() << "no kernel for this GPU";
  }
  at::manual_seed(11);
  const auto [kt, kh, kw] = kernel_of(layer.kind);
  const double scale = 1 / std::sqrt(static_cast<double>(layer.in * kt * kh * kw));
  const at::Tensor weight = as_bf16(at::randn({layer.out, layer.in, kt, kh, kw}) * scale);
  const at::Tensor bias = at::randn({layer.out}), gain = at::randn({layer.out}) * 10;
  const auto frames = [&](int64_t channels, int64_t n, int64_t h, int64_t w) {
    return as_bf16(at::randn({1, channels, n, h, w}));
  };
  const at::Tensor x = frames(layer.in, layer.frames, layer.height, layer.width);
  const std::optional<at::Tensor> past =
      kt == 3 ? std::optional(frames(layer.in, 2, layer.height, layer.width)) : std::nullopt;
  PackedConv conv = pack_conv(layer.kind, weight, bias, columns);
  conv.weight = as_bf16(conv.weight);
  PackedConv ours = conv;
  ours.weight = conv.weight.to(gpu(), at::kBFloat16);
  ours.bias = bias.to(gpu());
  std::optional<at::Tensor> residual, given;
  if (layer.residual) {
    residual = frames(layer.out, layer.frames, layer.height, layer.width);
    given = to_gpu(*residual);
  }
  const auto gpu_past = past ? std::optional(to_gpu(*past)) : std::nullopt;
  const auto run = [&] {
    return causal_conv(ours, gpu_past, to_gpu(x), given,
                       layer.norm ? std::optional(gain.to(gpu())) : std::nullopt, true);
  };
  const ConvResult got = run();
  const ConvResult twin = causal_conv(conv, past, x, residual, std::nullopt, true);
  // Rounded twice where a residual is added.
  const double slack = layer.residual ? 8e-3 : 2e-5;
  expect_close(channels_behind(got.sum), channels_behind(twin.sum), std::string(layer.name) + ", sum", slack);
  if (layer.norm) {
    const at::Tensor sum = got.sum.to(at::kCPU, at::kFloat), active = at::empty_like(sum);
    channel_norm(sum, gain, active, /*silu=*/true);
    expect_close(channels_behind(got.active), channels_behind(active), std::string(layer.name) + ", active",
                 1e-5);
    EXPECT_TRUE(run().active.equal(got.active)) << "another result in another run";
  }
  EXPECT_TRUE(run().sum.equal(got.sum)) << "another result in another run";
  if (kt == 3 && layer.frames > 2 && !layer.residual && !layer.norm) {
    // The first two frames alone, then the rest, which look back on them.
    const at::Tensor all = to_gpu(x), begin = all.narrow(2, 0, 2).clone(kLast),
                     rest = all.narrow(2, 2, layer.frames - 2).clone(kLast);
    const at::Tensor one = causal_conv(ours, gpu_past, begin, {}, {}, true).sum,
                     two = causal_conv(ours, begin, rest, {}, {}, true).sum;
    EXPECT_TRUE(at::cat({one, two}, 2).equal(got.sum)) << "other bits in pieces";
  }
  if (layer.residual) {
    const at::Tensor place = given->clone(kLast);
    const ConvResult over = causal_conv_over(ours, gpu_past, to_gpu(x), place,
                                             layer.norm ? std::optional(gain.to(gpu())) : std::nullopt);
    EXPECT_TRUE(over.sum.equal(got.sum) && over.sum.is_same(place)) << "written over the residual";
    EXPECT_TRUE(!layer.norm || over.active.equal(got.active));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layers, Convolutions,
    testing::Values(Layer{"96 to 96", ConvKind::kSpaceTime, 96, 96, 2, 40, 72, true, true},
                    Layer{"96 to 96, many tiles", ConvKind::kSpaceTime, 96, 96, 2, 120, 200, true, true},
                    Layer{"96 to 96, one frame", ConvKind::kSpaceTime, 96, 96, 1, 16, 32, false, true},
                    Layer{"192 to 192", ConvKind::kSpaceTime, 192, 192, 3, 24, 40, true, true},
                    Layer{"384 to 384", ConvKind::kSpaceTime, 384, 384, 3, 8, 24, true, false},
                    Layer{"384 to 384, six frames", ConvKind::kSpaceTime, 384, 384, 6, 40, 72, false, false},
                    Layer{"192 to 384", ConvKind::kSpaceTime, 192, 384, 2, 12, 16, false, false},
                    Layer{"96 to 3", ConvKind::kSpaceTime, 96, 3, 2, 24, 40, false, false},
                    Layer{"time", ConvKind::kTimeDoubling, 384, 768, 3, 12, 24, false, false},
                    Layer{"picture to 192", ConvKind::kPictureDoubling, 384, 192, 2, 12, 24, false, true},
                    Layer{"picture to 96", ConvKind::kPictureDoubling, 192, 96, 2, 20, 40, false, true},
                    Layer{"point", ConvKind::kPoint, 192, 384, 3, 12, 24, false, false}));

TEST(ChannelNormOnGpu, AgreesWithTheTwin) {
  for (const int64_t channels : {6, 8, 24, 96, 192, 384, 1000}) {
    for (const auto& [name, rows] : row_inputs(14, channels)) {
      const at::Tensor x = rows.t().reshape({1, channels, 1, 2, 7}).contiguous();
      const at::Tensor gain = as_bf16(at::randn({channels}) * std::sqrt(static_cast<double>(channels)));
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        for (const bool silu : {false, true}) {
          const at::Tensor wide = x.to(type).to(at::kFloat), twin = at::empty_like(wide);
          channel_norm(wide, gain, twin, silu);
          const at::Tensor on_gpu = x.to(gpu(), type).contiguous(kLast), ours = at::empty_like(on_gpu);
          channel_norm(on_gpu, gain.to(gpu(), type), ours, silu);
          expect_close(channels_behind(ours), channels_behind(twin), name + ", " + std::to_string(channels),
                       1e-5);
        }
      }
    }
  }
}

TEST(Yuv420pOnGpu, SameBytes) {
  at::manual_seed(4);
  at::Tensor frames = at::randn({3, 5, 34, 62});
  frames[1][2][3][4] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(to_yuv420p(frames.to(gpu())).to(at::kCPU).equal(to_yuv420p(frames)));
  const at::Tensor last = frames.permute({1, 2, 3, 0}).contiguous().permute({3, 0, 1, 2});
  EXPECT_TRUE(to_yuv420p(last.to(gpu())).to(at::kCPU).equal(to_yuv420p(frames)));
}

}  // namespace
}  // namespace latentcast::test
