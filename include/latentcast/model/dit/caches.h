#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/kernels/packed_attention.h"
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

/// A block's pass through the layers, as the caches see it. Numbers count within the stage and the clip.
struct CachePass {
  int64_t timestep = 0;
  int64_t block = 0;   ///< whose rows the pass makes
  int64_t filled = 0;  ///< blocks of the window that it attends to, its own included

  bool operator==(const CachePass&) const = default;
};

/// What a layer's pass attends to in 8 bits.
struct PackedKeys {
  PackedPieces attended;  ///< the reference, the motion, each block of the window; `own` included
  at::Tensor own;         ///< where the pass's keys and values are to be packed before
};

/// What a layer's pass attends to, and where its own keys and values go: views [tokens, heads, head_dim].
struct PassKeys {
  KeyValue own;
  KeyValue attended;                      ///< the condition, then the window; `own` included
  std::optional<PackedKeys> packed = {};  ///< instead of `attended`: then `own` is only on the way there
};

/// A part of what is kept for the clips to come, of one timestep and layer: tensors that lie one behind the
/// other along their first dimension.
struct CachedRows {
  enum class What { kKey, kValue, kKeyScale, kValueScale, kPacked };
  int64_t timestep = 0, layer = 0;
  What what = What::kKey;
  std::vector<at::Tensor> parts;
  /// In host memory, and nobody writes to a part as long as somebody else has it: it needn't be copied.
  bool lasting = false;
};

/// [bytes] uint8 of host memory that the device copies to and from at full speed; given back when its last
/// tensor is gone. May wait for that. Called by the thread that uses the caches.
using HostMemory = std::function<at::Tensor(int64_t bytes)>;

class LayersInPlace;
class BroughtLayers;
class PackedLayers;

/// The keys and values that self-attention reads, of a stage's timesteps and layers. A layer is kept in one
/// of two ways (CacheMeans): where attention reads it (LayersInPlace), or elsewhere, from where it is brought
/// before its turn (BroughtLayers). Both give attention the same: the condition's rows and, behind them, the
/// window of one clip's blocks, in one piece. For attention in 8 bits all layers are kept packed
/// (PackedLayers).
///
/// A pass is begin_pass(), then for each layer in its order acquire(), the layer's work on the current
/// stream, release().
class AttentionCache {
 public:
  /// `memory` is needed where something is kept in host memory.
  AttentionCache(const AttentionCacheShape& shape, const at::TensorOptions& options,
                 const CacheMeans& means = {}, const HostMemory& memory = {});
  ~AttentionCache();
  AttentionCache(AttentionCache&&) noexcept;
  AttentionCache& operator=(AttentionCache&&) = delete;

  /// Keeps what a condition pass made; not within a pass.
  void set_condition(int64_t layer, const ConditionKeys& made);

  void begin_pass(const CachePass& pass);
  /// Rotates the reference's keys by `rope`. Views are good until release().
  PassKeys acquire(int64_t layer, const at::Tensor& rope);
  /// All that uses the layer's keys and values has been given to the current stream.
  void release(int64_t layer);
  /// Within a pass: the one that will probably come next. What can be brought for it already is.
  void expect(const CachePass& next);

  /// What the window holds of blocks [begin, end): to be read or filled, between passes. Waits until it is
  /// there. Not to be held longer than it takes, but for what lasts.
  std::vector<CachedRows> rows(int64_t begin, int64_t end) const;

  const AttentionCacheShape& shape() const { return shape_; }
  const CacheMeans& means() const { return means_; }

 private:
  bool in_place(int64_t layer) const;
  int64_t place(int64_t layer) const { return place_[static_cast<size_t>(layer)]; }

  AttentionCacheShape shape_;
  CacheMeans means_;
  CachePass pass_;                           ///< under way
  std::vector<int64_t> place_;               ///< of each layer among those that are kept its way
  std::unique_ptr<LayersInPlace> in_place_;  ///< null: no layer is kept so
  std::unique_ptr<BroughtLayers> brought_;   ///< likewise
  std::unique_ptr<PackedLayers> packed_;     ///< for attention in 8 bits, alone
};

}  // namespace latentcast
