#pragma once

#include <ATen/core/Tensor.h>

namespace latentcast {

/// out = silu(x / ‖x‖ · gain), the length taken over the channels; with `silu` false without the SiLU.
/// x and out [1, channels, frames, h, w] of one floating type, gain [channels] (√channels included). Frames,
/// rows and columns of each channel lie in one piece; channels of `out` may lie further apart, so that a
/// convolution's input can be written in place.
void channel_norm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& out, bool silu);

}  // namespace latentcast
