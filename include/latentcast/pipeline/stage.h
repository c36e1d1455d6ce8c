#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/caches.h"
#include "latentcast/model/dit/embeddings.h"
#include "latentcast/model/dit/layer.h"
#include "latentcast/model/sampler/euler.h"
#include "latentcast/pipeline/layout.h"
#include "latentcast/pipeline/trace.h"

namespace latentcast {

/// Latents of a block: the unit in which the sampler works.
inline constexpr int64_t kBlockLatents = 3;
/// Video frames of a block.
inline constexpr int64_t kBlockFrames = 12;

/// Shape of the work, the same for the whole render.
struct StageShape {
  int64_t latent_rows = 0, latent_columns = 0;
  int64_t blocks_per_clip = 0;

  int64_t rows() const { return latent_rows / 2; }
  int64_t columns() const { return latent_columns / 2; }
  int64_t block_tokens() const { return kBlockLatents * rows() * columns(); }
  int64_t condition_tokens() const;
};

/// What a forward pass must know of a block besides its latents. Tensors may lie on any device.
struct BlockItem {
  int64_t clip = 0, block = 0;  ///< block within the clip
  int64_t number = 0;           ///< block counted over all clips
  at::Tensor audio;             ///< [speakers, 12, audio_dim]
  at::Tensor speaker_mask;      ///< [speakers, 3, h/2, w/2] or undefined
};

/// How the distance of the condition's positions is chosen at each forward pass.
struct ConditionDistance {
  std::optional<int> fixed;
  uint64_t seed = 0;

  int at(const BlockItem& item, int64_t timestep) const;
};

/// Where a stage keeps its caches: `host` is needed if any are on the host. And whether the audio encoder's
/// weights lie in host memory, from where they come for each block.
struct StageMemory {
  CacheMeans means;
  HostMemory host;
  bool audio_encoder_on_host = false;
};

/// A pass that a stage will probably do next.
struct NextPass {
  int64_t timestep = 0, block = 0;  ///< block within its clip
};

/// The part of the denoising that one rank does: a range of timesteps over a range of layers, with the caches
/// for it. A forward pass is begin_step (on the rank with the first layer), run_layers (on every rank),
/// end_step (on the rank with the last layer). One thread at a time.
class DenoiseStage {
 public:
  /// `text` [tokens, text_dim]. `layers` gives at least the plan's layers.
  DenoiseStage(const DitConfig& config, DitGlobalWeights globals, std::unique_ptr<LayerProvider> layers,
               const StagePlan& plan, const StageShape& shape, const EulerSchedule& schedule,
               const at::Tensor& text, ConditionDistance distance, const StageMemory& memory = {});

  /// The reference's [16, 1, h, w] and the motion's [16, 19, h, w] tokens: what the first layer of a
  /// condition pass takes.
  at::Tensor begin_condition(const at::Tensor& reference, const at::Tensor& motion) const;
  /// Runs them through the stage's layers and keeps their keys and values. Returns what the next layer takes;
  /// undefined after the model's last layer. Traced under `sink{clip}`.
  at::Tensor run_condition(at::Tensor x, int64_t clip, Trace& trace);

  /// Latents and pose latents [16, 3, h, w] -> tokens [n, dim].
  at::Tensor begin_step(const at::Tensor& latents, const at::Tensor& pose) const;
  /// Tokens through the stage's layers, at a timestep of the stage. For each timestep blocks come in order.
  /// `next` only saves time: caches that have to be brought for it already are.
  at::Tensor run_layers(const BlockItem& item, int64_t timestep, at::Tensor x,
                        const std::optional<NextPass>& next = {});
  /// Tokens after the model's last layer -> velocity [16, 3, h, w] float32.
  at::Tensor end_step(int64_t timestep, const at::Tensor& x) const;
  /// Latents after the step, float32 on the stage's device.
  at::Tensor advance(int64_t timestep, const at::Tensor& latents, const at::Tensor& velocity) const;

  /// At the end of a clip, what the next clip reads of the caches: all blocks but the first, whose place its
  /// own first block takes before anything is read. To be saved, or filled and then restored(). Timesteps and
  /// layers are the model's.
  std::vector<CachedRows> caches_after_clip() const;
  /// They have been filled: the next block is the first of a clip.
  void restored();

  bool has_first_layer() const { return plan_.layers.begin == 0; }
  bool has_last_layer() const { return plan_.layers.end == config_.layers; }
  const StagePlan& plan() const { return plan_; }
  const StageShape& shape() const { return shape_; }
  float timestep_value(int64_t timestep) const { return schedule_.timesteps[static_cast<size_t>(timestep)]; }
  /// Type and device of the tokens that pass between stages.
  const at::TensorOptions& options() const { return options_; }
  int64_t dim() const { return config_.dim; }
  const AttentionCache& caches() const { return cache_; }
  /// Bytes of the weights that it holds besides its layers.
  int64_t global_weight_bytes() const { return weight_bytes(globals_); }

 private:
  /// What all timesteps of a block share.
  struct PreparedBlock {
    at::Tensor rope, speaker_mask;
    AudioTokens audio;
  };
  const PreparedBlock& prepare(const BlockItem& item);
  CachePass pass_of(int64_t timestep, int64_t block) const;
  at::Tensor reference_rope(const BlockItem& item, int distance) const;

  DitConfig config_;
  DitGlobalWeights globals_;
  std::unique_ptr<LayerProvider> layers_;
  StagePlan plan_;
  StageShape shape_;
  EulerSchedule schedule_;
  ConditionDistance distance_;
  at::TensorOptions options_;
  TimeModulation at_zero_;
  std::vector<TimeModulation> modulation_;                 // one a timestep of the stage
  std::vector<std::vector<at::Tensor>> layer_modulation_;  // likewise; with each layer's own, [6, dim]
  AttentionCache cache_;                                   // the stage's timesteps and layers
  std::vector<int64_t> filled_;                            // blocks in each timestep's window
  TextCache text_;                                         // the stage's layers
  at::Tensor motion_rope_;
  std::map<int64_t, PreparedBlock> prepared_;  // blocks under way
};

}  // namespace latentcast
