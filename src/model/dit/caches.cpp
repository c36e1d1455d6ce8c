#include "latentcast/model/dit/caches.h"

#include "brought_layers.h"
#include "layers_in_place.h"
#include "packed_layers.h"
#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {

AttentionCache::AttentionCache(const AttentionCacheShape& shape, const at::TensorOptions& options,
                               const CacheMeans& means, const HostMemory& memory)
    : shape_(shape), means_(means) {
  if ((means.on_host || means.condition_on_host) && !memory) {
    throw InternalError("attention caches in host memory need some");
  }
  if (means.packed) {
    if (means != CacheMeans{.packed = true}) {
      throw InternalError("attention caches: packed ones are kept on the device, in no other type");
    }
    packed_ = std::make_unique<PackedLayers>(shape, options);
    return;
  }
  int64_t in_place = 0;
  std::vector<BroughtLayers::Kind> brought;
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    if (window_in_place(means, layer, shape.layers)) {
      place_.push_back(in_place++);
      continue;
    }
    place_.push_back(static_cast<int64_t>(brought.size()));
    brought.push_back({!window_on_device(means, layer, shape.layers), means.condition_on_host, means.fp8});
  }
  if (in_place > 0) in_place_ = std::make_unique<LayersInPlace>(shape, in_place, options);
  if (!brought.empty()) {
    brought_ = std::make_unique<BroughtLayers>(shape, std::move(brought), means.buffers, options, memory);
  }
}

AttentionCache::~AttentionCache() = default;
AttentionCache::AttentionCache(AttentionCache&&) noexcept = default;

bool AttentionCache::in_place(int64_t layer) const { return window_in_place(means_, layer, shape_.layers); }

void AttentionCache::set_condition(int64_t layer, const ConditionKeys& made) {
  if (packed_) return packed_->set_condition(layer, made);
  in_place(layer) ? in_place_->set_condition(place(layer), made)
                  : brought_->set_condition(place(layer), made);
}

void AttentionCache::begin_pass(const CachePass& pass) {
  pass_ = pass;
  if (brought_) brought_->begin_pass(pass);
}

void AttentionCache::expect(const CachePass& next) {
  if (brought_) brought_->expect(next);
}

PassKeys AttentionCache::acquire(int64_t layer, const at::Tensor& rope) {
  if (packed_) return packed_->acquire(pass_, layer, rope);
  return in_place(layer) ? in_place_->acquire(pass_, place(layer), rope)
                         : brought_->acquire(place(layer), rope);
}

void AttentionCache::release(int64_t layer) {
  if (!packed_ && !in_place(layer)) brought_->release(place(layer));
}

std::vector<CachedRows> AttentionCache::rows(int64_t begin, int64_t end) const {
  std::vector<CachedRows> all;
  for (int64_t t = 0; t < shape_.timesteps; ++t) {
    for (int64_t layer = 0; layer < shape_.layers; ++layer) {
      if (packed_) {
        all.push_back({t, layer, CachedRows::What::kPacked, {packed_->blocks(t, layer, begin, end)}, false});
        continue;
      }
      if (in_place(layer)) {
        const KeyValue kept = in_place_->rows(t, place(layer), begin, end);
        all.push_back({t, layer, CachedRows::What::kKey, {kept.key}, false});
        all.push_back({t, layer, CachedRows::What::kValue, {kept.value}, false});
        continue;
      }
      for (CachedRows& rows : brought_->rows(t, place(layer), begin, end)) {
        rows.layer = layer;
        all.push_back(std::move(rows));
      }
    }
  }
  return all;
}

}  // namespace latentcast
