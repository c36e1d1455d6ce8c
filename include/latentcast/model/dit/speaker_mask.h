#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace latentcast {

/// Where each speaker's sound acts. Masks, one a speaker, [H, W] uint8 with 1 inside, are stretched to the
/// token grid [latents, rows, columns]; where two meet the later speaker has the place. Each is grown by a
/// tenth of its box, and a speaker's sound acts wherever no other speaker's grown mask lies. Returns
/// [speakers, latents, rows, columns] float32 of 0 and 1.
at::Tensor speaker_regions(const std::vector<at::Tensor>& masks, int64_t latents, int64_t rows,
                           int64_t columns);

}  // namespace latentcast
