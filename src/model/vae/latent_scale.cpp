#include "latentcast/model/vae/latent_scale.h"

#include <array>

#include <ATen/ATen.h>

namespace latentcast {
namespace {

constexpr std::array<float, 16> kMean = {-0.7571f, -0.7089f, -0.9113f, 0.1075f,  -0.1745f, 0.9653f,
                                         -0.1517f, 1.5508f,  0.4134f,  -0.0715f, 0.5517f,  -0.3632f,
                                         -0.1922f, -0.9497f, 0.2503f,  -0.2921f};
constexpr std::array<float, 16> kDeviation = {2.8184f, 1.4541f, 2.3275f, 2.6558f, 1.2196f, 1.7708f,
                                              2.6052f, 2.0743f, 3.2687f, 2.1526f, 2.8652f, 1.5579f,
                                              1.6382f, 1.1253f, 2.8251f, 1.9160f};

at::Tensor per_channel(const std::array<float, 16>& values, const at::Tensor& like) {
  return at::tensor(at::ArrayRef<float>(values.data(), values.size()), at::kFloat)
      .to(like.options())
      .view({1, kLatentChannels, 1, 1, 1});
}

}  // namespace

at::Tensor normalise_latents(const at::Tensor& raw) {
  return (raw - per_channel(kMean, raw)) / per_channel(kDeviation, raw);
}

at::Tensor denormalise_latents(const at::Tensor& latents) {
  return latents * per_channel(kDeviation, latents) + per_channel(kMean, latents);
}

}  // namespace latentcast
