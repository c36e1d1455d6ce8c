#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/caches.h"
#include "latentcast/model/dit/embeddings.h"
#include "latentcast/model/dit/layer.h"
#include "latentcast/model/sampler/euler.h"
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
};

/// A block on its way through the timesteps. Tensors may lie on any device.
struct BlockItem {
  int64_t clip = 0, block = 0;  ///< block within the clip
  at::Tensor latents;           ///< [16, 3, h, w] float32
  at::Tensor pose;              ///< [16, 3, h, w]
  at::Tensor audio;             ///< [speakers, 12, audio_dim]
  at::Tensor speaker_mask;      ///< [speakers, 3, h/2, w/2] or undefined
};

/// How the distance of the condition's positions is chosen at each forward pass.
struct ConditionDistance {
  std::optional<int> fixed;
  uint64_t seed = 0;

  int at(const BlockItem& item, int64_t timestep) const;
};

/// A stage of the pipeline: a range of timesteps with their caches, over all layers. One thread at a time.
class DenoiseStage {
 public:
  /// `text` [tokens, text_dim]; the stage runs timesteps first … last − 1 of `schedule`.
  DenoiseStage(const DitConfig& config, DitGlobalWeights globals, std::unique_ptr<LayerProvider> layers,
               const StageShape& shape, const EulerSchedule& schedule, size_t first, size_t last,
               const at::Tensor& text, ConditionDistance distance);

  /// Runs the reference's and the motion's tokens and keeps their keys and values: before clip 0, and before
  /// clip 1 with the first latent that clip 0 gave as reference [16, 1, h, w]. Traced under `sink{clip}`.
  void run_condition(const at::Tensor& reference, const at::Tensor& motion, int64_t clip, Trace& trace);

  /// Takes a block through the stage's timesteps; returns its latents [16, 3, h, w] float32 on the stage's
  /// device. Blocks come in order.
  at::Tensor run_block(const BlockItem& item, Trace& trace);

  /// From now on steps that `inputs` knows start from its latents.
  void set_inputs(TraceInputs inputs) { inputs_ = std::move(inputs); }

  /// Tokens of the reference and the motion.
  int64_t condition_tokens() const { return shape_.rows() * shape_.columns() + motion_rope_.size(0); }

 private:
  struct PreparedBlock;
  PreparedBlock prepare(const BlockItem& item);
  at::Tensor velocity(const BlockItem& item, const PreparedBlock& block, const at::Tensor& latents,
                      size_t timestep);
  at::Tensor condition_rope(const BlockItem& item, int distance) const;

  DitConfig config_;
  DitGlobalWeights globals_;
  std::unique_ptr<LayerProvider> layers_;
  StageShape shape_;
  EulerSchedule schedule_;
  size_t first_;
  ConditionDistance distance_;
  TraceInputs inputs_;
  at::TensorOptions options_;  // compute type and device
  TimeModulation at_zero_;
  std::vector<TimeModulation> modulation_;  // one a timestep of the stage
  std::vector<WindowCache> windows_;        // likewise
  TextCache text_;
  ConditionCache condition_;
  at::Tensor motion_rope_;
};

}  // namespace latentcast
