#include "packed_layers.h"

#include <ATen/ATen.h>

#include "latentcast/kernels/rotated_norm.h"

namespace latentcast {

PackedLayers::PackedLayers(const AttentionCacheShape& shape, const at::TensorOptions& options)
    : shape_(shape) {
  const auto bytes = [&](int64_t tokens) { return packed_bytes(tokens, shape.heads, shape.head_dim); };
  const at::TensorOptions packed = options.dtype(at::kByte);
  for (int64_t i = 0; i < shape.layers; ++i) {
    Layer& layer = layers_.emplace_back();
    layer.reference = at::zeros({bytes(shape.reference_tokens)}, packed);
    layer.motion = at::zeros({bytes(shape.motion_tokens)}, packed);
    for (int64_t t = 0; t < shape.timesteps; ++t) {
      layer.window.push_back(at::zeros({shape.blocks, bytes(shape.block_tokens)}, packed));
    }
  }
  const auto rows = [&](int64_t tokens) { return at::zeros({tokens, shape.heads, shape.head_dim}, options); };
  own_ = {rows(shape.block_tokens), rows(shape.block_tokens)};
  reference_ = rows(shape.reference_tokens);
}

void PackedLayers::set_condition(int64_t layer, const ConditionKeys& made) {
  Layer& to = at(layer);
  const int64_t reference = shape_.reference_tokens, motion = shape_.motion_tokens;
  to.raw_reference = made.key.narrow(0, 0, reference).clone();
  pack_keys_and_values({}, made.value.narrow(0, 0, reference), to.reference);
  pack_keys_and_values(made.rotated.narrow(0, reference, motion), made.value.narrow(0, reference, motion),
                       to.motion);
}

PassKeys PackedLayers::acquire(const CachePass& pass, int64_t layer, const at::Tensor& rope) {
  const Layer& from = at(layer);
  if (from.raw_reference.defined()) {
    rotate_rows(from.raw_reference, rope, reference_);
    pack_keys_and_values(reference_, {}, from.reference);
  }
  const at::Tensor& window = from.window[static_cast<size_t>(pass.timestep)];
  PackedKeys keys{{{from.reference, from.motion}, {shape_.reference_tokens, shape_.motion_tokens}},
                  window[pass.block]};
  for (int64_t block = 0; block < pass.filled; ++block) {
    keys.attended.packed.push_back(window[block]);
    keys.attended.tokens.push_back(shape_.block_tokens);
  }
  return {own_, {}, std::move(keys)};
}

at::Tensor PackedLayers::blocks(int64_t timestep, int64_t layer, int64_t begin, int64_t end) const {
  return at(layer).window[static_cast<size_t>(timestep)].narrow(0, begin, end - begin);
}

}  // namespace latentcast
