#include "latentcast/pipeline/stage.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "latentcast/model/dit/rope.h"
#include "latentcast/model/sampler/noise.h"

namespace latentcast {
namespace {

constexpr int64_t kReferenceFrame = 30;

}  // namespace

/// What all timesteps of a block share.
struct DenoiseStage::PreparedBlock {
  at::Tensor pose, rope, speaker_mask;
  AudioTokens audio;
};

int ConditionDistance::at(const BlockItem& item, int64_t timestep) const {
  return fixed ? *fixed : draw_condition_distance(seed, item.clip, item.block, timestep);
}

DenoiseStage::DenoiseStage(const DitConfig& config, DitGlobalWeights globals,
                           std::unique_ptr<LayerProvider> layers, const StageShape& shape,
                           const EulerSchedule& schedule, size_t first, size_t last, const at::Tensor& text,
                           ConditionDistance distance)
    : config_(config),
      globals_(std::move(globals)),
      layers_(std::move(layers)),
      shape_(shape),
      schedule_(schedule),
      first_(first),
      distance_(distance),
      options_(globals_.patch.weight.options()),
      at_zero_(modulate(globals_, 0.0)),
      motion_rope_(motion_rope(shape.rows(), shape.columns(), config.head_dim()).to(options_.device())) {
  const int64_t window = shape_.block_tokens() * shape_.blocks_per_clip;
  for (size_t i = first; i < last; ++i) {
    modulation_.push_back(modulate(globals_, schedule_.timesteps[i]));
    windows_.push_back(
        make_window_cache(config_.layers, window, config_.heads, config_.head_dim(), options_));
  }
  const at::Tensor embedded = embed_text(globals_, text.to(options_), config_.text_len);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    text_.layers.push_back(text_key_value(layers_->acquire(layer), embedded, config_));
  }
  condition_.layers.resize(static_cast<size_t>(config_.layers));
}

at::Tensor DenoiseStage::condition_rope(const BlockItem& item, int distance) const {
  const int64_t frame = (item.clip * shape_.blocks_per_clip + item.block) * kBlockLatents;
  const int64_t shift = std::max<int64_t>(0, frame - (kReferenceFrame - distance));
  const at::Tensor reference =
      grid_rope(kReferenceFrame + shift, 1, shape_.rows(), shape_.columns(), config_.head_dim());
  return at::cat({reference.to(options_.device()), motion_rope_}, 0);
}

void DenoiseStage::run_condition(const at::Tensor& reference, const at::Tensor& motion, int64_t clip,
                                 Trace& trace) {
  const at::Tensor still = grid_rope(kReferenceFrame, 1, shape_.rows(), shape_.columns(), config_.head_dim());
  const at::Tensor rope = at::cat({still.to(options_.device()), motion_rope_}, 0);
  at::Tensor x = embed_condition(globals_, reference, motion);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    const auto i = static_cast<size_t>(layer);
    const bool last = layer == config_.layers - 1;
    x = run_condition_layer(layers_->acquire(layer), config_, x, at_zero_.layers, rope, text_.layers[i],
                            condition_.layers[i], last);
    if (trace.active() && (layer == 0 || last)) {
      const std::string name = "sink" + std::to_string(clip) + ".layer" + std::to_string(layer) + ".";
      trace.add(name + "cond_k", condition_.layers[i].key);
      trace.add(name + "cond_v", condition_.layers[i].value);
    }
  }
  trace.add("sink" + std::to_string(clip) + ".ref_latents", reference.unsqueeze(0));
}

DenoiseStage::PreparedBlock DenoiseStage::prepare(const BlockItem& item) {
  PreparedBlock block;
  const int64_t frame = (item.clip * shape_.blocks_per_clip + item.block) * kBlockLatents;
  block.pose = item.pose.to(options_);
  block.rope = grid_rope(frame, kBlockLatents, shape_.rows(), shape_.columns(), config_.head_dim())
                   .to(options_.device());
  block.audio = encode_audio_tokens(globals_.audio, item.audio, config_.audio_tokens,
                                    c10::typeMetaToScalarType(options_.dtype()));
  if (item.speaker_mask.defined()) {
    block.speaker_mask = item.speaker_mask.flatten(1).unsqueeze(2).to(options_);
  }
  return block;
}

at::Tensor DenoiseStage::velocity(const BlockItem& item, const PreparedBlock& block,
                                  const at::Tensor& latents, size_t timestep) {
  const size_t own = timestep - first_;
  WindowCache& window = windows_[own];
  BlockPass pass;
  pass.modulation = modulation_[own].layers;
  pass.rope = block.rope;
  pass.condition_rope = condition_rope(item, distance_.at(item, static_cast<int64_t>(timestep)));
  pass.cache_begin = item.block * shape_.block_tokens();
  pass.cache_filled = std::max(window.filled, pass.cache_begin + shape_.block_tokens());
  pass.audio = &block.audio;
  pass.speaker_mask = block.speaker_mask;
  window.filled = pass.cache_filled;
  at::Tensor x = embed_noisy(globals_, latents, block.pose);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    const auto i = static_cast<size_t>(layer);
    x = run_block_layer(layers_->acquire(layer), config_, x, pass, text_.layers[i], condition_.layers[i],
                        window.layers[i]);
  }
  return predict_velocity(globals_, x, modulation_[own], kBlockLatents, shape_.latent_rows,
                          shape_.latent_columns);
}

at::Tensor DenoiseStage::run_block(const BlockItem& item, Trace& trace) {
  const PreparedBlock block = prepare(item);
  const int64_t number = item.clip * shape_.blocks_per_clip + item.block;
  at::Tensor latents = item.latents.to(options_.device());
  for (size_t timestep = first_; timestep < first_ + windows_.size(); ++timestep) {
    if (const at::Tensor given = inputs_.latents_in(timestep, number); given.defined()) {
      latents = given.to(options_.device());
    }
    const at::Tensor v = velocity(item, block, latents, timestep);
    if (trace.keeps_block(number)) {
      const std::string name = step_name(timestep, number);
      trace.add(name + "latents_in", latents);
      trace.add(name + "timestep", at::full({1, kBlockLatents}, schedule_.timesteps[timestep], at::kFloat));
      trace.add(name + "velocity", v);
    }
    latents = latents + v * schedule_.step(timestep);
  }
  return latents;
}

}  // namespace latentcast
