#pragma once

#include <cstdint>
#include <vector>

namespace latentcast {

/// Tokens of the motion's latents on a grid of rows × columns: the newest latent, two at half the grid as
/// one, sixteen at a quarter as four.
int64_t motion_tokens(int64_t rows, int64_t columns);

/// What the caches of a stage are for: its timesteps and layers, and the sizes of what they hold.
struct AttentionCacheShape {
  int64_t timesteps = 0, layers = 0;
  int64_t reference_tokens = 0, motion_tokens = 0;
  int64_t block_tokens = 0, blocks = 0;  ///< of a clip's window
  int64_t heads = 0, head_dim = 0;

  int64_t condition_tokens() const { return reference_tokens + motion_tokens; }
  int64_t window_tokens() const { return block_tokens * blocks; }
  int64_t dim() const { return heads * head_dim; }
};

/// Buffers that keep bringing, computing and writing back apart.
inline constexpr int64_t kCacheRing = 3;

/// Where and how the keys and values of self-attention are kept. A layer that isn't kept where attention
/// reads it is brought into one of `buffers` buffers on the device before its turn, beside the computing.
struct CacheMeans {
  bool on_host = false;            ///< windows in host memory, those of device_layers excepted
  int64_t device_layers = 0;       ///< with on_host: how many layers' windows stay on the device
  bool fp8 = false;                ///< windows in 8 bits (e4m3, a scale for each row); less exact
  bool condition_on_host = false;  ///< the condition's keys and values too; for layers that are brought
  int64_t buffers = kCacheRing;    ///< with fewer, bringing and writing back wait for the computing
  /// All of them as attention in 8 bits reads them (kernels/packed_attention.h), where it reads them. None of
  /// the others goes with it.
  bool packed = false;

  bool operator==(const CacheMeans&) const = default;
};

/// Whether the layer's window is kept on the device. Those that are lie evenly among the others, so that
/// there is time to bring these.
bool window_on_device(const CacheMeans& means, int64_t layer, int64_t layers);
/// Whether attention reads the layer where it is kept: nothing is brought.
bool window_in_place(const CacheMeans& means, int64_t layer, int64_t layers);

struct CacheBytes {
  int64_t device = 0;  ///< buffers for layers that are brought included
  int64_t host = 0;    ///< pinned, for a GPU
  bool operator==(const CacheBytes&) const = default;
};

/// Pieces of host memory that an AttentionCache takes, in this order.
struct HostPieceNeed {
  int64_t bytes = 0, count = 0;
};
std::vector<HostPieceNeed> host_pieces(const AttentionCacheShape& shape, const CacheMeans& means,
                                       int64_t element_bytes);

/// What an AttentionCache takes whose numbers have `element_bytes` on the device; exact but for rounding to
/// the allocator's pieces.
CacheBytes cache_bytes(const AttentionCacheShape& shape, const CacheMeans& means, int64_t element_bytes);

}  // namespace latentcast
