// The whole decoder of Wan2.1's widths on a GPU in bf16, by our kernels and by LibTorch's, against the CPU's
// in float32.
#include <map>

#include "cli/random_source.h"
#include "parity.h"
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "latentcast/model/vae/decoder.h"
#include "latentcast/model/vae/latent_scale.h"

namespace latentcast::test {
namespace {

/// The same random weights in any type on any device.
class SharedWeights : public TensorSource {
 public:
  explicit SharedWeights(int64_t width) : random_(at::TensorOptions()) { list_vae_decoder(random_, width); }
  void give_as(const at::TensorOptions& options) { options_ = options; }

  bool has(const std::string& name) const override { return random_.has(name); }
  std::vector<int64_t> shape(const std::string& name) const override { return random_.shape(name); }
  at::Tensor take(const std::string& name, at::IntArrayRef shape) override {
    at::Tensor& kept = kept_[name];
    if (!kept.defined()) {
      kept = as_bf16(random_.take(name, shape));
    }
    return kept.to(options_);
  }
  at::Tensor take_float(const std::string& name, at::IntArrayRef shape) override { return take(name, shape); }

 private:
  RandomSource random_;
  std::map<std::string, at::Tensor> kept_;
  at::TensorOptions options_;
};

at::Tensor decode(const VaeDecoder& decoder, const at::Tensor& latents, CausalState& state) {
  return decoder.decode(latents, state).to(at::kCPU);
}

at::Tensor run_plain(const DecoderParts& parts, const at::Tensor& latents, CausalState& state) {
  const at::Tensor z = denormalise_latents(latents.unsqueeze(0).to(parts.conv2.weight.options()));
  CausalCursor cursor(state);
  at::Tensor x =
      parts.conv1.run(pointwise(z.contiguous(at::MemoryFormat::ChannelsLast3d), parts.conv2), cursor);
  x = parts.middle2.run(parts.attention.run(parts.middle1.run(x, cursor)), cursor);
  for (const auto& level : parts.upsamples) {
    x = std::visit([&](const auto& one) { return one.run(x, cursor); }, level);
  }
  x = parts.head.run_activated(x, parts.head_norm, cursor);
  state.started = true;
  return x.squeeze(0).to(at::kFloat).clamp_(-1, 1).to(at::kCPU);
}

TEST(DecoderOnGpu, IsAsExactAsByLibTorchsOperations) {
  const c10::InferenceMode inference;
  const at::TensorOptions bf16 = at::TensorOptions().device(gpu()).dtype(at::kBFloat16);
  at::manual_seed(21);
  SharedWeights weights(96);
  const at::Tensor first = at::randn({16, 1, 6, 10}), then = at::randn({16, 3, 6, 10}),
                   more = at::randn({16, 2, 6, 10});
  weights.give_as(at::TensorOptions());
  const VaeDecoder exact(weights);
  weights.give_as(bf16);
  const VaeDecoder ours(weights);
  const DecoderParts plain = take_decoder(weights);
  CausalState a, b, c;
  double error = 0, plain_error = 0, size = 0;
  for (const at::Tensor& latents : {first, then, more}) {
    const at::Tensor wanted = decode(exact, latents, a), got = decode(ours, latents.to(gpu()), b);
    ASSERT_EQ(got.sizes(), wanted.sizes());
    error += (got - wanted).square().sum().item<double>();
    plain_error += (run_plain(plain, latents.to(gpu()), c) - wanted).square().sum().item<double>();
    size += wanted.square().sum().item<double>();
  }
  std::cout << (ours.is_fused() ? "our kernels: " : "LibTorch's: ") << std::sqrt(error / size)
            << ", LibTorch's bf16: " << std::sqrt(plain_error / size) << "\n";
  EXPECT_LT(std::sqrt(error / size), 1.1 * std::sqrt(plain_error / size));
}

TEST(DecoderOnGpu, GoesOnToTheSameBitsFromASavedState) {
  const c10::InferenceMode inference;
  SharedWeights weights(96);
  weights.give_as(at::TensorOptions().device(gpu()).dtype(at::kBFloat16));
  const VaeDecoder decoder(weights);
  CausalState state;
  decoder.decode(at::randn({16, 4, 6, 10}).to(gpu()), state);
  CausalState saved;
  saved.started = true;
  for (const at::Tensor& cache : state.caches) {
    saved.caches.push_back(cache.contiguous().to(at::kCPU).to(gpu()));
  }
  const at::Tensor latents = at::randn({16, 3, 6, 10}).to(gpu());
  EXPECT_TRUE(decode(decoder, latents, state).equal(decode(decoder, latents, saved)));
}

}  // namespace
}  // namespace latentcast::test
