#include "latentcast/model/dit/cache_means.h"

#include <algorithm>

#include "latentcast/kernels/packed_layout.h"

namespace latentcast {
namespace {

constexpr int64_t kScaleBytes = 4;

/// What one layer takes, in numbers of a row.
struct LayerRows {
  int64_t window, condition;  ///< keys and values of all timesteps, of the condition
};

/// All are on the device: for each layer the condition's, packed, and the reference's keys as they were made;
/// for each timestep the blocks'; and room for one pass's keys and values on their way.
int64_t packed_cache_bytes(const AttentionCacheShape& shape, int64_t element_bytes) {
  const PackedLayout layout{shape.head_dim};
  const auto bytes = [&](int64_t tokens) { return layout.bytes(tokens, shape.heads); };
  const int64_t row = shape.dim() * element_bytes;
  const int64_t layer = bytes(shape.reference_tokens) + bytes(shape.motion_tokens) +
                        shape.reference_tokens * row +
                        shape.timesteps * shape.blocks * bytes(shape.block_tokens);
  return shape.layers * layer + (2 * shape.block_tokens + shape.reference_tokens) * row;
}

}  // namespace

int64_t motion_tokens(int64_t rows, int64_t columns) {
  return rows * columns + (rows / 2) * (columns / 2) + 4 * (rows / 4) * (columns / 4);
}

bool window_on_device(const CacheMeans& means, int64_t layer, int64_t layers) {
  if (!means.on_host) return true;
  const int64_t kept = std::clamp<int64_t>(means.device_layers, 0, layers);
  return (layer + 1) * kept / layers > layer * kept / layers;
}

bool window_in_place(const CacheMeans& means, int64_t layer, int64_t layers) {
  return !means.fp8 && window_on_device(means, layer, layers);
}

std::vector<HostPieceNeed> host_pieces(const AttentionCacheShape& shape, const CacheMeans& means,
                                       int64_t element_bytes) {
  int64_t windows = 0, conditions = 0;
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    windows += window_on_device(means, layer, shape.layers) ? 0 : 2;
    conditions += means.condition_on_host && !window_in_place(means, layer, shape.layers) ? 2 : 0;
  }
  std::vector<HostPieceNeed> needs;
  if (windows > 0) {
    needs.push_back({shape.block_tokens * shape.dim() * (means.fp8 ? 1 : element_bytes),
                     windows * shape.timesteps * shape.blocks});
  }
  if (conditions > 0) needs.push_back({shape.condition_tokens() * shape.dim() * element_bytes, conditions});
  return needs;
}

CacheBytes cache_bytes(const AttentionCacheShape& shape, const CacheMeans& means, int64_t element_bytes) {
  if (means.packed) return {packed_cache_bytes(shape, element_bytes), 0};
  const int64_t row = shape.dim() * element_bytes;
  const int64_t window_row = means.fp8 ? shape.dim() : row;
  const LayerRows rows{2 * shape.timesteps * shape.window_tokens(), 2 * shape.condition_tokens()};
  CacheBytes bytes;
  int64_t brought = 0;
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    const bool in_place = window_in_place(means, layer, shape.layers);
    (window_on_device(means, layer, shape.layers) ? bytes.device : bytes.host) += rows.window * window_row;
    (means.condition_on_host && !in_place ? bytes.host : bytes.device) += rows.condition * row;
    // In place the reference's keys are there twice: as they were made, and rotated.
    if (in_place) bytes.device += shape.reference_tokens * row;
    if (means.fp8) bytes.device += rows.window * kScaleBytes;
    brought += in_place ? 0 : 1;
  }
  const int64_t ring = std::min(means.buffers, brought);
  bytes.device += ring * 2 * (shape.condition_tokens() + shape.window_tokens()) * row;
  if (means.fp8 && means.on_host) {
    // What comes from the host, and what goes there.
    bytes.device += ring * 2 * shape.window_tokens() * shape.dim() + 2 * shape.block_tokens * shape.dim();
  }
  return bytes;
}

}  // namespace latentcast
