#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/audio_tokens.h"
#include "latentcast/model/dit/caches.h"
#include "latentcast/model/dit/weights.h"

namespace latentcast {

/// What a block pass brings to one layer. Tensors are borrowed for the call.
struct BlockPass {
  at::Tensor modulation;  ///< [6, dim] float32: the layer's own and the timestep's, added
  at::Tensor rope;        ///< of the block's tokens
  KeyValue own;           ///< where the block's keys and values go, [n, heads, head_dim]
  KeyValue attended;      ///< what its queries attend to, `own` included
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

/// One layer of a block pass on tokens x [n, dim], the audio injection after it included. The result is
/// rounded to the compute type, so it can be passed to another rank.
at::Tensor run_block_layer(const DitLayerWeights& weights, const DitConfig& config, const at::Tensor& x,
                           const BlockPass& pass, const KeyValue& text);

}  // namespace latentcast
