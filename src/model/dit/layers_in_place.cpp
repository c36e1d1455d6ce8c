#include "layers_in_place.h"

#include <ATen/ATen.h>

#include "latentcast/kernels/rotated_norm.h"
#include "latentcast/kernels/shared_front.h"

namespace latentcast {

KeyValue narrowed(const KeyValue& both, int64_t begin, int64_t count) {
  return {both.key.narrow(0, begin, count), both.value.narrow(0, begin, count)};
}

LayersInPlace::LayersInPlace(const AttentionCacheShape& shape, int64_t layers,
                             const at::TensorOptions& options)
    : shape_(shape), reference_(static_cast<size_t>(layers)) {
  const at::Tensor row = at::empty({shape.heads, shape.head_dim}, options);
  const auto make = [&] {
    return tensors_with_shared_front(row, shape.timesteps, shape.condition_tokens(), shape.window_tokens());
  };
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::vector<at::Tensor> keys = make(), values = make();
    std::vector<KeyValue>& timesteps = layers_.emplace_back();
    for (size_t t = 0; t < keys.size(); ++t) {
      timesteps.push_back({keys[t].zero_(), values[t].zero_()});
    }
  }
}

void LayersInPlace::set_condition(int64_t layer, const ConditionKeys& made) {
  reference_[static_cast<size_t>(layer)] = made.key.narrow(0, 0, shape_.reference_tokens).clone();
  for (int64_t t = 0; t < shape_.timesteps; ++t) {
    at(t, layer).key.narrow(0, 0, shape_.condition_tokens()).copy_(made.rotated);
    at(t, layer).value.narrow(0, 0, shape_.condition_tokens()).copy_(made.value);
  }
}

PassKeys LayersInPlace::acquire(const CachePass& pass, int64_t layer, const at::Tensor& rope) {
  const KeyValue& both = at(pass.timestep, layer);
  // Without a condition pass so far (a benchmark's) there is nothing to turn.
  if (const at::Tensor& raw = reference_[static_cast<size_t>(layer)]; raw.defined()) {
    rotate_rows(raw, rope, both.key.narrow(0, 0, shape_.reference_tokens));
  }
  return {rows(pass.timestep, layer, pass.block, pass.block + 1),
          narrowed(both, 0, shape_.condition_tokens() + pass.filled * shape_.block_tokens)};
}

KeyValue LayersInPlace::rows(int64_t timestep, int64_t layer, int64_t begin, int64_t end) const {
  return narrowed(at(timestep, layer), shape_.condition_tokens() + begin * shape_.block_tokens,
                  (end - begin) * shape_.block_tokens);
}

}  // namespace latentcast
