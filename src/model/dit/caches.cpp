#include "latentcast/model/dit/caches.h"

#include <ATen/ATen.h>

namespace latentcast {

WindowCache make_window_cache(int64_t layers, int64_t tokens, int64_t heads, int64_t head_dim,
                              const at::TensorOptions& options) {
  WindowCache cache;
  for (int64_t layer = 0; layer < layers; ++layer) {
    cache.layers.push_back(
        {at::zeros({tokens, heads, head_dim}, options), at::zeros({tokens, heads, head_dim}, options)});
  }
  return cache;
}

}  // namespace latentcast
