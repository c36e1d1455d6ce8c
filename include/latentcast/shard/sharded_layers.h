#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/comm/communicator.h"
#include "latentcast/model/dit/weights.h"
#include "latentcast/model/tensor_source.h"
#include "latentcast/shard/layer_layout.h"

namespace latentcast {

/// What a rank's shards did and hold.
struct ShardCounters {
  int64_t layers_gathered = 0;
  int64_t bytes_gathered = 0;  ///< that came from other ranks
  int64_t share_bytes = 0;     ///< this rank's parts of all layers
  int64_t resident_bytes = 0;  ///< share_bytes and the two buffers for gathered layers
};

/// Layers whose weights are divided over a group of ranks: rank r holds part r of each layer's flat buffer,
/// and each rank gathers layer l + 1 while l computes. After the last layer comes layer 0 again, so the next
/// pass finds it gathered. Where ranks read one another's shares, a rank uses the tensors that it has whole
/// where they are. At most two layers are whole at any time. The values are ResidentLayers' to the
/// bit.
///
/// Every rank of the group must walk through the same number of passes: by acquire(0), acquire(1) …
/// acquire(layers − 1), or by pass_without_compute(), which does nothing where shares are read directly. On a
/// GPU a layer's buffer is taken by the gather of the layer after next in the order of the current stream, so
/// its work must be enqueued there before the next acquire().
class ShardedLayers : public LayerProvider {
 public:
  /// Reads this rank's parts, onto the source's device and in its dtype; nothing else of the layers is read.
  /// Ends with all ranks' parts open to one another: collective. `source` is only used here.
  ShardedLayers(RangeSource& source, const DitConfig& config, std::unique_ptr<Communicator> group,
                GatherWay way = GatherWay::kAuto);
  /// Waits for the gather that the last acquire() began, unless an exception is on its way.
  ~ShardedLayers() override;
  ShardedLayers(const ShardedLayers&) = delete;
  ShardedLayers& operator=(const ShardedLayers&) = delete;

  /// Waits for the layer and begins to gather the next. Valid until the next call. Throws InternalError if it
  /// isn't this layer's turn.
  const DitLayerWeights& acquire(int64_t layer) override;

  /// Takes part in the gathers of a whole pass. Throws InternalError in the middle of a pass.
  void pass_without_compute();

  ShardCounters counters() const;
  const PeerShares& shares() const { return *shares_; }

 private:
  void read_part(RangeSource& source, int64_t layer);
  at::Tensor part_of(int64_t layer) const;
  void use_own_parts_in_place();
  void launch(int64_t layer, size_t buffer);
  void step(int64_t layer);

  DitConfig config_;
  std::unique_ptr<Communicator> group_;
  std::vector<LayerLayout> layouts_;
  std::vector<int64_t> part_begin_;    ///< of each layer in share_
  at::Tensor share_;                   ///< [bytes] uint8
  std::array<at::Tensor, 2> buffers_;  ///< [bytes of the largest layer] uint8
  std::unique_ptr<PeerShares> shares_;
  std::vector<OwnPart> wanted_;        ///< of each layer's gather; none if a gather brings all
  std::vector<PartInPlace> in_place_;  ///< of each layer: what this rank needn't gather
  std::array<std::vector<std::optional<DitLayerWeights>>, 2>
      views_;                            ///< [buffer][layer], made when first needed
  std::unique_ptr<Transfer> under_way_;  ///< of layer next_ into buffer filling_
  int64_t next_ = 0;                     ///< layer whose turn it is
  size_t filling_ = 0;                   ///< buffer that layer next_ is or will be in
  int exceptions_ = 0;                   ///< on their way when this was made
  ShardCounters counters_;
};

}  // namespace latentcast
