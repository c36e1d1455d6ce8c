#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace latentcast {

/// Rotary position embedding (Su et al. 2021) in three parts: time, height, width. Tables are complex64
/// [tokens, 1, head_dim / 2] on `device`, token order (frame, row, column), their values rounded to half
/// precision as the public tables are. Angles are computed, not looked up, so a video has no last frame.
/// Made without waiting for the device.
at::Tensor grid_rope(int64_t first_frame, int64_t frames, int64_t rows, int64_t columns, int64_t head_dim,
                     at::Device device = at::kCPU);

/// Positions of the FramePack motion tokens (Zhang, Agrawala 2025): the newest latent, the pair before it and
/// the 16 before those, on grids 1, 1/2 and 1/4 as fine as rows × columns, in the past.
at::Tensor motion_rope(int64_t rows, int64_t columns, int64_t head_dim);

}  // namespace latentcast
