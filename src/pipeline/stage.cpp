#include "latentcast/pipeline/stage.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "latentcast/model/dit/rope.h"
#include "latentcast/model/sampler/noise.h"
#include "latentcast/pipeline/cache_setup.h"
#include "latentcast/progress/pause_point.h"

namespace latentcast {
namespace {

constexpr int64_t kReferenceFrame = 30;

/// The sound's weights move to the host before anything else is made.
DitGlobalWeights placed(DitGlobalWeights globals, const StageMemory& memory) {
  if (memory.audio_encoder_on_host) keep_on_host(globals.audio);
  return globals;
}

void let_go(std::initializer_list<Linear*> weights) {
  for (Linear* done : weights) *done = {};
}

/// Of each timestep; after that nothing needs their weights, 0.7 GB of the 14B model, which go before caches
/// are made.
std::vector<TimeModulation> take_modulation(DitGlobalWeights& globals, const StagePlan& plan,
                                            const EulerSchedule& schedule) {
  std::vector<TimeModulation> made;
  for (int64_t t = plan.timesteps.begin; t < plan.timesteps.end; ++t) {
    made.push_back(modulate(globals, schedule.timesteps[static_cast<size_t>(t)]));
  }
  let_go({&globals.time1, &globals.time2, &globals.time_projection});
  return made;
}

}  // namespace

int64_t StageShape::condition_tokens() const { return rows() * columns() + motion_tokens(rows(), columns()); }

int ConditionDistance::at(const BlockItem& item, int64_t timestep) const {
  return fixed ? *fixed : draw_condition_distance(seed, item.clip, item.block, timestep);
}

DenoiseStage::DenoiseStage(const DitConfig& config, DitGlobalWeights globals,
                           std::unique_ptr<LayerProvider> layers, const StagePlan& plan,
                           const StageShape& shape, const EulerSchedule& schedule, const at::Tensor& text,
                           ConditionDistance distance, const StageMemory& memory)
    : config_(config),
      globals_(placed(std::move(globals), memory)),
      layers_(std::move(layers)),
      plan_(plan),
      shape_(shape),
      schedule_(schedule),
      distance_(distance),
      options_(globals_.patch.weight.options()),
      at_zero_(modulate(globals_, 0.0)),
      modulation_(take_modulation(globals_, plan, schedule)),
      cache_(cache_shape(config, plan, shape), options_, memory.means, memory.host),
      filled_(static_cast<size_t>(plan.timesteps.size())),
      motion_rope_(motion_rope(shape.rows(), shape.columns(), config.head_dim()).to(options_.device())) {
  layer_modulation_.resize(modulation_.size());
  const at::Tensor embedded = embed_text(globals_, text.to(options_), config_.text_len);
  for (int64_t layer = plan_.layers.begin; layer < plan_.layers.end; ++layer) {
    const DitLayerWeights& weights = layers_->acquire(layer);
    text_.layers.push_back(text_key_value(weights, embedded, config_));
    for (size_t t = 0; t < modulation_.size(); ++t) {
      layer_modulation_[t].push_back(weights.modulation + modulation_[t].layers);
    }
  }
  let_go({&globals_.text1, &globals_.text2});
  if (!has_first_layer()) {
    for (at::Tensor& weight : globals_.motion_weight) weight.reset();
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
    const DitLayerWeights& weights = layers_->acquire(layer);
    ConditionKeys made;
    x = run_condition_layer(weights, config_, x, weights.modulation + at_zero_.layers, rope,
                            text_.layers[own], made, last);
    cache_.set_condition(layer - plan_.layers.begin, made);
    if (trace.active() && (layer == 0 || last)) {
      const std::string name = "sink" + std::to_string(clip) + ".layer" + std::to_string(layer) + ".";
      trace.add(name + "cond_k", made.key);
      trace.add(name + "cond_v", made.value);
    }
  }
  return x;
}

at::Tensor DenoiseStage::reference_rope(const BlockItem& item, int distance) const {
  const int64_t shift = std::max<int64_t>(0, item.number * kBlockLatents - (kReferenceFrame - distance));
  return grid_rope(kReferenceFrame + shift, 1, shape_.rows(), shape_.columns(), config_.head_dim(),
                   options_.device());
}

const DenoiseStage::PreparedBlock& DenoiseStage::prepare(const BlockItem& item) {
  const auto found = prepared_.find(item.number);
  if (found != prepared_.end()) {
    return found->second;
  }
  PreparedBlock block;
  block.rope = grid_rope(item.number * kBlockLatents, kBlockLatents, shape_.rows(), shape_.columns(),
                         config_.head_dim(), options_.device());
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

at::Tensor DenoiseStage::run_layers(const BlockItem& item, int64_t timestep, at::Tensor x,
                                    const std::optional<NextPass>& next) {
  const PreparedBlock& block = prepare(item);
  const auto own_step = static_cast<size_t>(timestep - plan_.timesteps.begin);
  filled_[own_step] = std::max(filled_[own_step], item.block + 1);
  cache_.begin_pass(pass_of(timestep, item.block));
  if (next) cache_.expect(pass_of(next->timestep, next->block));
  const at::Tensor reference = reference_rope(item, distance_.at(item, timestep));
  BlockPass pass;
  pass.rope = block.rope;
  pass.audio = &block.audio;
  pass.speaker_mask = block.speaker_mask;
  const std::vector<at::Tensor>& modulation = layer_modulation_[own_step];
  BlockTokens tokens{std::move(x), {}};
  for (int64_t layer = plan_.layers.begin; layer < plan_.layers.end; ++layer) {
    const int64_t own = layer - plan_.layers.begin;
    pause_point("computing");
    pass.modulation = modulation[static_cast<size_t>(own)];
    pass.next_modulation =
        layer + 1 < plan_.layers.end ? modulation[static_cast<size_t>(own) + 1] : at::Tensor();
    const PassKeys keys = cache_.acquire(own, reference);
    pass.own = keys.own;
    pass.attended = keys.attended;
    pass.packed = keys.packed;
    tokens = run_block_layer(layers_->acquire(layer), config_, tokens, pass,
                             text_.layers[static_cast<size_t>(own)]);
    cache_.release(own);
  }
  if (timestep == plan_.timesteps.end - 1) {
    prepared_.erase(item.number);
  }
  return tokens.x;
}

CachePass DenoiseStage::pass_of(int64_t timestep, int64_t block) const {
  const int64_t own = timestep - plan_.timesteps.begin;
  return {own, block, std::max(filled_[static_cast<size_t>(own)], block + 1)};
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

std::vector<CachedRows> DenoiseStage::caches_after_clip() const {
  std::vector<CachedRows> cached;
  if (shape_.blocks_per_clip < 2) return cached;
  for (CachedRows& rows : cache_.rows(1, shape_.blocks_per_clip)) {
    rows.timestep += plan_.timesteps.begin;
    rows.layer += plan_.layers.begin;
    cached.push_back(std::move(rows));
  }
  return cached;
}

void DenoiseStage::restored() { std::fill(filled_.begin(), filled_.end(), shape_.blocks_per_clip); }

}  // namespace latentcast
