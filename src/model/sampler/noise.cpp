#include "latentcast/model/sampler/noise.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "latentcast/model/vae/latent_scale.h"

namespace latentcast {
namespace {

constexpr int kNearest = 4, kFarthest = 30;

/// Finaliser of SplitMix64 (Steele, Lea, Flood 2014).
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

at::Tensor clip_noise(uint64_t seed, int64_t clip, int64_t latents, int64_t h, int64_t w) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>();
  generator.set_current_seed(seed + static_cast<uint64_t>(clip));
  return at::randn({kLatentChannels, latents, h, w}, generator, at::TensorOptions().dtype(at::kFloat));
}

int draw_condition_distance(uint64_t seed, int64_t clip, int64_t block, int64_t timestep) {
  uint64_t key = mix(seed);
  for (const int64_t part : {clip, block, timestep}) {
    key = mix(key ^ static_cast<uint64_t>(part));
  }
  return kNearest + static_cast<int>(key % static_cast<uint64_t>(kFarthest - kNearest + 1));
}

}  // namespace latentcast
