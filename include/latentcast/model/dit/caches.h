#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/cache_means.h"

namespace latentcast {

/// Keys and values of one layer, [tokens, heads, head_dim] each.
struct KeyValue {
  at::Tensor key, value;
};

/// The prompt's keys and values for the cross-attention of every layer; the same for every pass.
struct TextCache {
  std::vector<KeyValue> layers;
};

/// What one layer of a condition pass leaves: [tokens, heads, head_dim], the reference's tokens first, then
/// the motion's. The same for every timestep.
struct ConditionKeys {
  at::Tensor key;      ///< not rotated
  at::Tensor rotated;  ///< where the condition pass has them
  at::Tensor value;
};

/// The keys and values that self-attention reads, of a stage's timesteps and layers. For each timestep and
/// layer the condition's rows and, behind them, the window of one clip's latents lie in one piece of memory,
/// so that attention reads them in place. On a GPU the condition's rows are there once, however many
/// timesteps there are: the motion's keys and all values are the same for all, the reference's keys are
/// rotated anew for each pass.
class AttentionCache {
 public:
  AttentionCache(const AttentionCacheShape& shape, const at::TensorOptions& options);

  /// Keeps what a condition pass made.
  void set_condition(int64_t layer, const ConditionKeys& made);
  /// Rotates the reference's keys by `rope` for the timestep's next pass through the layer: on a GPU no other
  /// timestep's pass may come in between.
  void turn_reference(int64_t timestep, int64_t layer, const at::Tensor& rope);

  /// Views of the window's rows [begin, begin + tokens).
  KeyValue window(int64_t timestep, int64_t layer, int64_t begin, int64_t tokens) const;
  /// Views of what a pass attends to: the condition and the window's first `filled` rows.
  KeyValue attended(int64_t timestep, int64_t layer, int64_t filled) const;

  const AttentionCacheShape& shape() const { return shape_; }

 private:
  const KeyValue& at(int64_t timestep, int64_t layer) const {
    return layers_[static_cast<size_t>(layer)][static_cast<size_t>(timestep)];
  }

  AttentionCacheShape shape_;
  std::vector<std::vector<KeyValue>> layers_;  ///< [layer][timestep]: condition, then window
  std::vector<at::Tensor> reference_;          ///< [layer]: the reference's keys, not rotated
};

}  // namespace latentcast
