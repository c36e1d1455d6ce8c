#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/audio_tokens.h"
#include "latentcast/model/dit/caches.h"
#include "latentcast/model/dit/weights.h"

namespace latentcast {

/// What a block pass brings to every layer. Tensors are borrowed for the pass.
struct BlockPass {
  at::Tensor modulation;      ///< [6, dim] float32, of the timestep
  at::Tensor rope;            ///< of the block's tokens
  at::Tensor condition_rope;  ///< of the condition's tokens, the reference shifted to this block
  int64_t cache_begin = 0;    ///< token of the window where the block's keys go
  int64_t cache_filled = 0;   ///< tokens of the window that are attended to, the block's own included
  const AudioTokens* audio = nullptr;
  at::Tensor speaker_mask;  ///< [speakers, tokens, 1] where each speaker's sound acts; undefined: everywhere
};

/// The prompt's keys and values in one layer; text [text_len, dim].
KeyValue text_key_value(const DitLayerWeights& weights, const at::Tensor& text, const DitConfig& config);

/// One layer of the condition pass on tokens x [n, dim] at timestep 0; its keys and values go to `cache`.
/// Returns the new x, or an undefined tensor if `last` (nothing needs it).
at::Tensor run_condition_layer(const DitLayerWeights& weights, const DitConfig& config, const at::Tensor& x,
                               const at::Tensor& modulation, const at::Tensor& rope, const KeyValue& text,
                               KeyValue& cache, bool last);

/// One layer of a block pass on tokens x [n, dim], the audio injection after it included. Writes the block's
/// keys and values into the window. The result is rounded to the compute type, so it can be passed to another
/// rank.
at::Tensor run_block_layer(const DitLayerWeights& weights, const DitConfig& config, const at::Tensor& x,
                           const BlockPass& pass, const KeyValue& text, const KeyValue& condition,
                           KeyValue& window);

}  // namespace latentcast
