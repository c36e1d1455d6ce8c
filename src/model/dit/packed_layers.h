#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/caches.h"

namespace latentcast {

/// Layers whose keys and values are kept as attention in 8 bits reads them, and nowhere else: packed the
/// reference's, the motion's, which are there once for all timesteps, and each block's. A pass packs its own
/// block's, and the reference's keys, which are rotated anew for it.
class PackedLayers {
 public:
  PackedLayers(const AttentionCacheShape& shape, const at::TensorOptions& options);

  void set_condition(int64_t layer, const ConditionKeys& made);
  /// No other pass may come in before its work is done.
  PassKeys acquire(const CachePass& pass, int64_t layer, const at::Tensor& rope);
  /// Blocks [begin, end), [blocks, packed bytes] uint8.
  at::Tensor blocks(int64_t timestep, int64_t layer, int64_t begin, int64_t end) const;

 private:
  struct Layer {
    at::Tensor raw_reference;        ///< keys as they were made; undefined before the first condition pass
    at::Tensor reference, motion;    ///< packed
    std::vector<at::Tensor> window;  ///< [timestep]: [blocks, packed bytes]
  };
  Layer& at(int64_t layer) { return layers_[static_cast<size_t>(layer)]; }
  const Layer& at(int64_t layer) const { return layers_[static_cast<size_t>(layer)]; }

  AttentionCacheShape shape_;
  std::vector<Layer> layers_;
  KeyValue own_;          ///< of the pass under way, on their way
  at::Tensor reference_;  ///< keys, rotated, on their way
};

}  // namespace latentcast
