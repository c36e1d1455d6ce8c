#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/caches.h"

namespace latentcast {

/// Layers whose keys and values attention reads where they are kept: for each timestep and layer the
/// condition's rows and, behind them, the window. On a GPU the condition's rows are there once, however many
/// timesteps there are: the motion's keys and all values are the same for all, the reference's keys are
/// rotated anew for each pass. Layers are numbered among themselves.
class LayersInPlace {
 public:
  LayersInPlace(const AttentionCacheShape& shape, int64_t layers, const at::TensorOptions& options);

  void set_condition(int64_t layer, const ConditionKeys& made);
  /// On a GPU no other timestep's pass through the layer may come in before its work is done.
  PassKeys acquire(const CachePass& pass, int64_t layer, const at::Tensor& rope);
  /// Of blocks [begin, end).
  KeyValue rows(int64_t timestep, int64_t layer, int64_t begin, int64_t end) const;

 private:
  const KeyValue& at(int64_t timestep, int64_t layer) const {
    return layers_[static_cast<size_t>(layer)][static_cast<size_t>(timestep)];
  }

  AttentionCacheShape shape_;
  std::vector<std::vector<KeyValue>> layers_;  ///< [layer][timestep]: condition, then window
  std::vector<at::Tensor> reference_;          ///< [layer]: the reference's keys, not rotated
};

/// Rows [begin, begin + count) of both.
KeyValue narrowed(const KeyValue& both, int64_t begin, int64_t count);

}  // namespace latentcast
