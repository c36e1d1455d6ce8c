#pragma once

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

#include "latentcast/kernels/quantize.h"
#include "latentcast/model/dit/audio_tokens.h"
#include "latentcast/model/dit/caches.h"
#include "latentcast/model/dit/weights.h"

namespace latentcast {

/// What a block pass brings to one layer. Tensors are borrowed for the call.
struct BlockPass {
  at::Tensor modulation;             ///< [6, dim] float32: the layer's own and the timestep's, added
  at::Tensor rope;                   ///< of the block's tokens
  KeyValue own;                      ///< where the block's keys and values go, [n, heads, head_dim]
  KeyValue attended;                 ///< what its queries attend to, `own` included
  std::optional<PackedKeys> packed;  ///< instead of `attended`: attention in 8 bits
  at::Tensor next_modulation;        ///< the next layer's, if that follows on this rank; else undefined
  const AudioTokens* audio = nullptr;
  at::Tensor speaker_mask;  ///< [speakers, tokens, 1] where each speaker's sound acts; undefined: everywhere
};

/// The prompt's keys and values in one layer; text [text_len, dim].
KeyValue text_key_value(const DitLayerWeights& weights, const at::Tensor& text, const DitConfig& config);

/// One layer of the condition pass on tokens x [n, dim]; its keys and values go to `made`. `modulation` [6,
/// dim] float32: the layer's own and that of timestep 0, added. Returns the new x, or an undefined tensor if
/// `last` (nothing needs it).
at::Tensor run_condition_layer(const DitLayerWeights& weights, const DitConfig& config, const at::Tensor& x,
                               const at::Tensor& modulation, const at::Tensor& rope, const KeyValue& text,
                               ConditionKeys& made, bool last);

/// A block's tokens x [n, dim] between two layers, rounded to the compute type, so that they can be passed to
/// another rank. Where the layer that follows was known, also what its self-attention's products take.
struct BlockTokens {
  at::Tensor x;
  Rows normed;
};

/// One layer of a block pass, the audio injection after it included.
BlockTokens run_block_layer(const DitLayerWeights& weights, const DitConfig& config,
                            const BlockTokens& tokens, const BlockPass& pass, const KeyValue& text);

}  // namespace latentcast
