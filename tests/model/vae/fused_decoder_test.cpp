// The decoder by causal_conv() is the decoder by LibTorch's operations; here with the CPU's twin of the
// kernel.
#include "model/vae/fused_decoder.h"

#include "cli/random_source.h"
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

/// Any shape will do for the twin.
int64_t any_columns(ConvKind kind, const at::Tensor& weight) {
  const int64_t out = weight.size(0);
  return out < 8 ? 8 : kind == ConvKind::kTimeDoubling ? out / 2 : out;
}

at::Tensor run_fused(const FusedDecoder& fused, const DecoderParts& parts, const at::Tensor& latents,
                     const std::vector<int64_t>& pieces) {
  CausalState state;
  std::vector<at::Tensor> frames;
  int64_t begin = 0;
  for (const int64_t piece : pieces) {
    CausalCursor cursor(state);
    const at::Tensor z = pointwise(latents.narrow(2, begin, piece), parts.conv2);
    frames.push_back(
        fused.run(parts.conv1.run(z, cursor).contiguous(at::MemoryFormat::ChannelsLast3d), cursor));
    state.started = true;
    begin += piece;
  }
  return at::cat(frames, 2);
}

at::Tensor run_plain(const DecoderParts& parts, const at::Tensor& latents,
                     const std::vector<int64_t>& pieces) {
  CausalState state;
  std::vector<at::Tensor> frames;
  int64_t begin = 0;
  for (const int64_t piece : pieces) {
    CausalCursor cursor(state);
    at::Tensor x = parts.conv1.run(pointwise(latents.narrow(2, begin, piece), parts.conv2), cursor);
    x = parts.middle2.run(parts.attention.run(parts.middle1.run(x, cursor)), cursor);
    for (const auto& level : parts.upsamples) {
      x = std::visit([&](const auto& one) { return one.run(x, cursor); }, level);
    }
    frames.push_back(parts.head.run_activated(x, parts.head_norm, cursor));
    state.started = true;
    begin += piece;
  }
  return at::cat(frames, 2);
}

TEST(FusedDecoder, GivesTheSameFramesInPiecesOfAnyLength) {
  const c10::InferenceMode inference;
  at::manual_seed(8);
  RandomSource source{at::TensorOptions()};
  list_vae_decoder(source, 32);
  const DecoderParts parts = take_decoder(source);
  const auto fused = FusedDecoder::make(parts, any_columns);
  ASSERT_NE(fused, nullptr);
  const at::Tensor latents = at::randn({1, 16, 6, 2, 3});
  const at::Tensor wanted = run_plain(parts, latents, {1, 5});
  ASSERT_EQ(wanted.sizes(), at::IntArrayRef({1, 3, 21, 16, 24}));
  for (const std::vector<int64_t>& pieces : {std::vector<int64_t>{1, 5}, {1, 1, 3, 1}, {1, 2, 2, 1}}) {
    const at::Tensor got = run_fused(*fused, parts, latents, pieces);
    ASSERT_EQ(got.sizes(), wanted.sizes());
    EXPECT_LT((got - wanted).abs().max().item<float>(), 1e-4f * wanted.abs().max().item<float>());
  }
}

TEST(FusedDecoder, IsNotMadeWhereAKernelIsMissing) {
  RandomSource source{at::TensorOptions()};
  list_vae_decoder(source, 32);
  const DecoderParts parts = take_decoder(source);
  EXPECT_EQ(FusedDecoder::make(parts, [](ConvKind, const at::Tensor&) { return 0; }), nullptr);
}

}  // namespace
}  // namespace latentcast
