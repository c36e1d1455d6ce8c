#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace latentcast {

/// The noise of a clip, [16, latents, h, w] float32 on the CPU: a generator seeded with seed + clip, always
/// the CPU's and in float32, so that every device and layout starts from the same numbers.
at::Tensor clip_noise(uint64_t seed, int64_t clip, int64_t latents, int64_t h, int64_t w);

/// Distance D of the reference's rotary position, 4..30, drawn anew for each forward pass from a
/// counter-based generator: a pure function of its arguments, so that no layout and no restart changes it.
int draw_condition_distance(uint64_t seed, int64_t clip, int64_t block, int64_t timestep);

}  // namespace latentcast
