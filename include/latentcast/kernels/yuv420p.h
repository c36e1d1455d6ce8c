#pragma once

#include <ATen/core/Tensor.h>

namespace latentcast {

/// Frames as a video encoder takes them: RGB rounded to 8 bits, then BT.709 in limited range, each pair of
/// colour differences for 2 x 2 pixels, seen from the left pixels' column and between the rows (as MPEG
/// does). Whole numbers are computed with from the rounding on, so the bytes are the same on every device.
///
/// frames [3, n, H, W] float32 in −1..1 (beyond that they are clamped), of any strides; H and W even. Returns
/// [n, 3/2 · H · W] uint8 on the same device: a frame's Y, then U, then V, rows without gaps.
at::Tensor to_yuv420p(const at::Tensor& frames);

/// The same frames as [n, H, W, 3] uint8, rounded as to_yuv420p() rounds.
at::Tensor to_rgb24(const at::Tensor& frames);

}  // namespace latentcast
