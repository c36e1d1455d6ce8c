#include "latentcast/model/dit/caches.h"

#include <ATen/ATen.h>

#include "latentcast/kernels/rotated_norm.h"
#include "latentcast/kernels/shared_front.h"

namespace latentcast {

AttentionCache::AttentionCache(const AttentionCacheShape& shape, const at::TensorOptions& options)
    : shape_(shape), reference_(static_cast<size_t>(shape.layers)) {
  const at::Tensor row = at::empty({shape.heads, shape.head_dim}, options);
  const auto make = [&] {
    return tensors_with_shared_front(row, shape.timesteps, shape.condition_tokens(), shape.window_tokens());
  };
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    const std::vector<at::Tensor> keys = make(), values = make();
    std::vector<KeyValue>& timesteps = layers_.emplace_back();
    for (size_t t = 0; t < keys.size(); ++t) {
      timesteps.push_back({keys[t].zero_(), values[t].zero_()});
    }
  }
}

void AttentionCache::set_condition(int64_t layer, const ConditionKeys& made) {
  reference_[static_cast<size_t>(layer)] = made.key.narrow(0, 0, shape_.reference_tokens).clone();
  for (int64_t t = 0; t < shape_.timesteps; ++t) {
    at(t, layer).key.narrow(0, 0, shape_.condition_tokens()).copy_(made.rotated);
    at(t, layer).value.narrow(0, 0, shape_.condition_tokens()).copy_(made.value);
  }
}

void AttentionCache::turn_reference(int64_t timestep, int64_t layer, const at::Tensor& rope) {
  const at::Tensor& raw = reference_[static_cast<size_t>(layer)];
  if (!raw.defined()) return;  // no condition pass yet: a benchmark's
  rotate_rows(raw, rope, at(timestep, layer).key.narrow(0, 0, shape_.reference_tokens));
}

KeyValue AttentionCache::window(int64_t timestep, int64_t layer, int64_t begin, int64_t tokens) const {
  const KeyValue& both = at(timestep, layer);
  const int64_t first = shape_.condition_tokens() + begin;
  return {both.key.narrow(0, first, tokens), both.value.narrow(0, first, tokens)};
}

KeyValue AttentionCache::attended(int64_t timestep, int64_t layer, int64_t filled) const {
  const KeyValue& both = at(timestep, layer);
  const int64_t rows = shape_.condition_tokens() + filled;
  return {both.key.narrow(0, 0, rows), both.value.narrow(0, 0, rows)};
}

}  // namespace latentcast
