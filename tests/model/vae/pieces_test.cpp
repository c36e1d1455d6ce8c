// The autoencoder's causal state: pieces of any length give what one call gives.

#include <cstdlib>

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "latentcast/model/vae/decoder.h"
#include "latentcast/model/vae/encoder.h"
#include "latentcast/weights/checkpoint_source.h"
#include "latentcast/weights/torch_archive.h"

namespace latentcast {
namespace {

CheckpointSource vae_source() {
  const std::string file =
      std::string(std::getenv("LATENTCAST_TEST_DATA")) + "/tiny/checkpoint/Wan2.1_VAE.pth";
  return CheckpointSource(std::make_shared<const TensorArchive>(open_torch_archive(file)), at::kFloat,
                          at::kCPU);
}

at::Tensor decode_in_pieces(const VaeDecoder& decoder, const at::Tensor& latents,
                            const std::vector<int64_t>& pieces) {
  CausalState state;
  std::vector<at::Tensor> frames;
  int64_t begin = 0;
  for (const int64_t piece : pieces) {
    frames.push_back(decoder.decode(latents.narrow(1, begin, piece), state));
    begin += piece;
  }
  return at::cat(frames, 1);
}

TEST(VaeDecoder, PiecesOfAnyLengthGiveTheSameFrames) {
  const c10::InferenceMode inference;
  CheckpointSource source = vae_source();
  const VaeDecoder decoder(source);
  at::manual_seed(1);
  const at::Tensor latents = at::randn({16, 7, 4, 6});
  const at::Tensor whole = decode_in_pieces(decoder, latents, {7});
  ASSERT_EQ(whole.sizes(), at::IntArrayRef({3, 25, 32, 48}));
  for (const std::vector<int64_t>& pieces :
       {std::vector<int64_t>{1, 1, 1, 1, 1, 1, 1}, {3, 3, 1}, {2, 5}, {1, 6}}) {
    EXPECT_LT((decode_in_pieces(decoder, latents, pieces) - whole).abs().max().item<float>(), 1e-5f);
  }
}

TEST(VaeDecoder, ItsStateIsAsLargeAsTheShapesSay) {
  const c10::InferenceMode inference;
  CheckpointSource source = vae_source();
  const int64_t expected = decoder_state_elements(source, 4, 6);
  const VaeDecoder decoder(source);
  CausalState state;
  decoder.decode(at::zeros({16, 3, 4, 6}), state);
  int64_t elements = 0;
  for (const at::Tensor& cache : state.caches) elements += cache.numel();
  EXPECT_EQ(elements, expected);
}

TEST(VaeDecoder, FramesSeeOnlyThePast) {
  const c10::InferenceMode inference;
  CheckpointSource source = vae_source();
  const VaeDecoder decoder(source);
  const at::Tensor latents = at::randn({16, 4, 4, 4});
  at::Tensor changed = latents.clone();
  changed.narrow(1, 3, 1).add_(1.0);
  const at::Tensor a = decode_in_pieces(decoder, latents, {4}), b = decode_in_pieces(decoder, changed, {4});
  EXPECT_TRUE(at::equal(a.narrow(1, 0, 9), b.narrow(1, 0, 9)));
  EXPECT_FALSE(at::equal(a.narrow(1, 9, 4), b.narrow(1, 9, 4)));
}

TEST(VaeEncoder, AStillPictureIsEncodedAsIfEveryFrameWereComputed) {
  const c10::InferenceMode inference;
  CheckpointSource source = vae_source();
  const VaeEncoder encoder(source);
  at::manual_seed(2);
  const at::Tensor picture = at::rand({3, 1, 32, 32}).mul_(2).sub_(1);
  const auto still = [&](int64_t, int64_t count) { return picture.expand({-1, count, -1, -1}); };
  const at::Tensor latents = encoder.encode(73, still);
  ASSERT_EQ(latents.sizes(), at::IntArrayRef({16, 19, 4, 4}));
  // A change too small to see keeps the short cut from being taken.
  const auto shaky = [&](int64_t first, int64_t count) {
    return picture.expand({-1, count, -1, -1}) + 1e-7 * static_cast<double>(first % 8);
  };
  EXPECT_LT((encoder.encode(73, shaky) - latents).abs().max().item<float>(), 1e-4f);
  EXPECT_TRUE(at::equal(encoder.encode(1, still), latents.narrow(1, 0, 1)));
}

}  // namespace
}  // namespace latentcast
