#pragma once

#include <ATen/core/Tensor.h>

namespace latentcast {

/// Channels of a latent.
inline constexpr int64_t kLatentChannels = 16;
/// Pixels a latent covers in each direction, and frames in time.
inline constexpr int64_t kPixelsPerLatent = 8;
inline constexpr int64_t kFramesPerLatent = 4;

/// Raw encoder means [1, 16, t, h, w] <-> the normalised latents that the transformer sees, by the mean and
/// standard deviation a channel that the public code fixes for Wan2.1's autoencoder.
at::Tensor normalise_latents(const at::Tensor& raw);
at::Tensor denormalise_latents(const at::Tensor& latents);

}  // namespace latentcast
