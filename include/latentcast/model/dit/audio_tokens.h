#pragma once

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/weights.h"

namespace latentcast {

/// A block's sound as the injectors want it, in the transformer's type; `speakers` may be more than one.
struct AudioTokens {
  at::Tensor global;  ///< [speakers · latents, dim]
  at::Tensor local;   ///< [speakers · latents, tokens + 1, dim]
};

/// The large weights move to host memory, from where each comes for its use.
void keep_on_host(AudioEncoderWeights& weights);

/// Features [speakers, frames, audio_dim] of a block's frames (4 a latent), already weighted over wav2vec2's
/// layers, through the causal audio encoder, in float32. The first frame stands for the time before the
/// block.
AudioTokens encode_audio_tokens(const AudioEncoderWeights& weights, const at::Tensor& features,
                                int64_t tokens, at::ScalarType type);

}  // namespace latentcast
