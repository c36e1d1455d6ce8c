#include "latentcast/pipeline/stage.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "latentcast/model/dit/rope.h"
#include "latentcast/model/sampler/noise.h"
#include "latentcast/progress/pause_point.h"

namespace latentcast {
namespace {

constexpr int64_t kReferenceFrame = 30;

}  // namespace

int64_t StageShape::condition_tokens() const { return rows() * columns() + motion_tokens(rows(), columns()); }

int ConditionDistance::at(const BlockItem& item, int64_t timestep) const {
  return fixed ? *fixed : draw_condition_distance(seed, item.clip, item.block, timestep);
}

DenoiseStage::DenoiseStage(const DitConfig& config, DitGlobalWeights globals,
                           std::unique_ptr<LayerProvider> layers, const StagePlan& plan,
                           const StageShape& shape, const EulerSchedule& schedule, const at::Tensor& text,
                           ConditionDistance distance)
    : config_(config),
      globals_(std::move(globals)),
      layers_(std::move(layers)),
      plan_(plan),
      shape_(shape),
      schedule_(schedule),
      distance_(distance),
      options_(globals_.patch.weight.options()),
      at_zero_(modulate(globals_, 0.0)),
      motion_rope_(motion_rope(shape.rows(), shape.columns(), config.head_dim()).to(options_.device())) {
  const int64_t window = shape_.block_tokens() * shape_.blocks_per_clip;
  for (int64_t t = plan_.timesteps.begin; t < plan_.timesteps.end; ++t) {
    modulation_.push_back(modulate(globals_, timestep_value(t)));
    windows_.push_back(
        make_window_cache(plan_.layers.size(), window, config_.heads, config_.head_dim(), options_));
  }
  const at::Tensor embedded = embed_text(globals_, text.to(options_), config_.text_len);
  for (int64_t layer = plan_.layers.begin; layer < plan_.layers.end; ++layer) {
    text_.layers.push_back(text_key_value(layers_->acquire(layer), embedded, config_));
  }
  condition_.layers.resize(static_cast<size_t>(plan_.layers.size()));
  // All that these were for is there: 0.8 GB of the 14B model.
  for (Linear* done :
       {&globals_.text1, &globals_.text2, &globals_.time1, &globals_.time2, &globals_.time_projection}) {
    *done = {};
  }
}

at::Tensor DenoiseStage::begin_condition(const at::Tensor& reference, const at::Tensor& motion) const {
  return embed_condition(globals_, reference, motion);
}

at::Tensor DenoiseStage::run_condition(at::Tensor x, int64_t clip, Trace& trace) {
  const at::Tensor still = grid_rope(kReferenceFrame, 1, shape_.rows(), shape_.columns(), config_.head_dim());
  const at::Tensor rope = at::cat({still.to(options_.device()), motion_rope_}, 0);
  for (int64_t layer = plan_.layers.begin; layer < plan_.layers.end; ++layer) {
    const auto own = static_cast<size_t>(layer - plan_.layers.begin);
    const bool last = layer == config_.layers - 1;
    x = run_condition_layer(layers_->acquire(layer), config_, x, at_zero_.layers, rope, text_.layers[own],
                            condition_.layers[own], last);
    if (trace.active() && (layer == 0 || last)) {
      const std::string name = "sink" + std::to_string(clip) + ".layer" + std::to_string(layer) + ".";
      trace.add(name + "cond_k", condition_.layers[own].key);
      trace.add(name + "cond_v", condition_.layers[own].value);
    }
  }
  return x;
}

at::Tensor DenoiseStage::condition_rope(const BlockItem& item, int distance) const {
  const int64_t shift = std::max<int64_t>(0, item.number * kBlockLatents - (kReferenceFrame - distance));
  const at::Tensor reference =
      grid_rope(kReferenceFrame + shift, 1, shape_.rows(), shape_.columns(), config_.head_dim());
  return at::cat({reference.to(options_.device()), motion_rope_}, 0);
}

const DenoiseStage::PreparedBlock& DenoiseStage::prepare(const BlockItem& item) {
  const auto found = prepared_.find(item.number);
  if (found != prepared_.end()) {
    return found->second;
  }
  PreparedBlock block;
  block.rope = grid_rope(item.number * kBlockLatents, kBlockLatents, shape_.rows(), shape_.columns(),
                         config_.head_dim())
                   .to(options_.device());
  block.audio = encode_audio_tokens(globals_.audio, item.audio, config_.audio_tokens,
                                    c10::typeMetaToScalarType(options_.dtype()));
  if (item.speaker_mask.defined()) {
    block.speaker_mask = item.speaker_mask.flatten(1).unsqueeze(2).to(options_);
  }
  return prepared_.emplace(item.number, std::move(block)).first->second;
}

at::Tensor DenoiseStage::begin_step(const at::Tensor& latents, const at::Tensor& pose) const {
  return embed_noisy(globals_, latents.to(options_.device()), pose.to(options_.device()));
}

at::Tensor DenoiseStage::run_layers(const BlockItem& item, int64_t timestep, at::Tensor x) {
  const PreparedBlock& block = prepare(item);
  const auto own_step = static_cast<size_t>(timestep - plan_.timesteps.begin);
  WindowCache& window = windows_[own_step];
  BlockPass pass;
  pass.modulation = modulation_[own_step].layers;
  pass.rope = block.rope;
  pass.condition_rope = condition_rope(item, distance_.at(item, timestep));
  pass.cache_begin = item.block * shape_.block_tokens();
  pass.cache_filled = std::max(window.filled, pass.cache_begin + shape_.block_tokens());
  pass.audio = &block.audio;
  pass.speaker_mask = block.speaker_mask;
  window.filled = pass.cache_filled;
  for (int64_t layer = plan_.layers.begin; layer < plan_.layers.end; ++layer) {
    const auto own = static_cast<size_t>(layer - plan_.layers.begin);
    pause_point("computing");
    x = run_block_layer(layers_->acquire(layer), config_, x, pass, text_.layers[own], condition_.layers[own],
                        window.layers[own]);
  }
  if (timestep == plan_.timesteps.end - 1) {
    prepared_.erase(item.number);
  }
  return x;
}

at::Tensor DenoiseStage::end_step(int64_t timestep, const at::Tensor& x) const {
  const auto own_step = static_cast<size_t>(timestep - plan_.timesteps.begin);
  return predict_velocity(globals_, x, modulation_[own_step], kBlockLatents, shape_.latent_rows,
                          shape_.latent_columns);
}

at::Tensor DenoiseStage::advance(int64_t timestep, const at::Tensor& latents,
                                 const at::Tensor& velocity) const {
  return latents.to(options_.device()) + velocity * schedule_.step(static_cast<size_t>(timestep));
}

std::vector<CachedLayer> DenoiseStage::caches_after_clip() const {
  std::vector<CachedLayer> cached;
  const int64_t begin = shape_.block_tokens(), tokens = begin * (shape_.blocks_per_clip - 1);
  for (int64_t t = plan_.timesteps.begin; tokens > 0 && t < plan_.timesteps.end; ++t) {
    const WindowCache& window = windows_[static_cast<size_t>(t - plan_.timesteps.begin)];
    for (int64_t layer = plan_.layers.begin; layer < plan_.layers.end; ++layer) {
      const KeyValue& both = window.layers[static_cast<size_t>(layer - plan_.layers.begin)];
      cached.push_back({t, layer, both.key.narrow(0, begin, tokens), both.value.narrow(0, begin, tokens)});
    }
  }
  return cached;
}

void DenoiseStage::restored() {
  for (WindowCache& window : windows_) window.filled = shape_.block_tokens() * shape_.blocks_per_clip;
}

}  // namespace latentcast
