#pragma once

#include <cstdint>
#include <vector>

#include "side_stream.h"
#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/caches.h"

namespace latentcast {

/// The rows of all blocks of a window, for each timestep and layer: a piece of memory for each block's keys
/// and each block's values, on the host or on the device, as they are or in 8 bits. Scales of 8 bits lie on
/// the device: they are small.
class KeptWindow {
 public:
  struct Kind {
    bool on_host, fp8;
  };
  KeptWindow(const AttentionCacheShape& shape, const std::vector<Kind>& layers,
             const at::TensorOptions& options, const HostMemory& memory);

  /// Of one block: [block_tokens, heads, head_dim], or [block_tokens, dim] of 8 bits and [block_tokens, 1] of
  /// scales.
  struct Piece {
    at::Tensor key, value;
    at::Tensor key_scale, value_scale;  ///< undefined but for 8 bits
  };
  const Piece& piece(int64_t timestep, int64_t layer, int64_t block) const {
    return pieces_[index(timestep, layer) * static_cast<size_t>(shape_.blocks) + static_cast<size_t>(block)];
  }
  /// The piece, to be written to: memory that somebody else holds (a checkpoint under way) is left to them,
  /// and other memory takes its place.
  const Piece& piece_to_write(int64_t timestep, int64_t layer, int64_t block);

  bool on_host(int64_t layer) const { return kinds_[static_cast<size_t>(layer)].on_host; }
  bool fp8(int64_t layer) const { return kinds_[static_cast<size_t>(layer)].fp8; }
  /// When a timestep's layer was written last.
  StreamMark& written(int64_t timestep, int64_t layer) { return written_[index(timestep, layer)]; }
  const StreamMark& written(int64_t timestep, int64_t layer) const {
    return written_[index(timestep, layer)];
  }

 private:
  size_t index(int64_t timestep, int64_t layer) const {
    return static_cast<size_t>(timestep * static_cast<int64_t>(kinds_.size()) + layer);
  }
  at::Tensor make_rows(const Kind& kind) const;

  AttentionCacheShape shape_;
  std::vector<Kind> kinds_;  ///< [layer]
  at::TensorOptions options_;
  HostMemory memory_;
  std::vector<Piece> pieces_;        ///< [timestep][layer][block]
  std::vector<StreamMark> written_;  ///< [timestep][layer]
};

}  // namespace latentcast
