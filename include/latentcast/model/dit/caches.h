#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace latentcast {

/// Keys and values of one layer, [tokens, heads, head_dim] each.
struct KeyValue {
  at::Tensor key, value;
};

/// What the condition pass leaves: every layer's keys (not rotated) and values of the reference's and the
/// motion's tokens. The same for every timestep.
struct ConditionCache {
  std::vector<KeyValue> layers;
};

/// Keys (rotated) and values of one clip's latents, for one timestep. A block's tokens lie at slot · block
/// tokens.
struct WindowCache {
  std::vector<KeyValue> layers;
  int64_t filled = 0;  ///< tokens written so far, at most the window's length
};

/// The prompt's keys and values for the cross-attention of every layer; the same for every pass.
struct TextCache {
  std::vector<KeyValue> layers;
};

/// A window of `tokens` tokens, for `layers` layers.
WindowCache make_window_cache(int64_t layers, int64_t tokens, int64_t heads, int64_t head_dim,
                              const at::TensorOptions& options);

}  // namespace latentcast
