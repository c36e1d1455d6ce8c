#pragma once

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/weights.h"

namespace latentcast {

/// What a timestep does to every layer and to the head; float32, on the weights' device.
struct TimeModulation {
  at::Tensor head;    ///< [dim]
  at::Tensor layers;  ///< [6, dim], to which each layer adds its own
};

TimeModulation modulate(const DitGlobalWeights& weights, double timestep);

/// Latents and pose latents [16, f, h, w] -> tokens [f · h/2 · w/2, dim].
at::Tensor embed_noisy(const DitGlobalWeights& weights, const at::Tensor& latents, const at::Tensor& pose);

/// Reference latents [16, 1, h, w] and motion latents [16, 19, h, w] -> tokens, the reference's first, then
/// the motion's from the newest and finest grid to the oldest and coarsest.
at::Tensor embed_condition(const DitGlobalWeights& weights, const at::Tensor& reference,
                           const at::Tensor& motion);

/// Text encoder's output [n, text_dim] -> [text_len, dim]; rows beyond n are zeros before the embedding.
at::Tensor embed_text(const DitGlobalWeights& weights, const at::Tensor& text, int64_t text_len);

/// Tokens [f · h/2 · w/2, dim] -> velocity [16, f, h, w], float32.
at::Tensor predict_velocity(const DitGlobalWeights& weights, const at::Tensor& tokens,
                            const TimeModulation& time, int64_t frames, int64_t h, int64_t w);

}  // namespace latentcast
