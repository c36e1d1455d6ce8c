#pragma once

#include "latentcast/budget/memory_planner.h"
#include "latentcast/config/render_job.h"
#include "latentcast/device/device.h"
#include "latentcast/model/dit/weights.h"
#include "latentcast/model/tensor_source.h"
#include "latentcast/pipeline/stage.h"

namespace latentcast {

/// What memory depends on of the networks: the transformer's figures, and the shapes of the autoencoder's
/// decoder.
ModelSizes model_sizes(const DitConfig& config, const TensorSource& vae, const StageShape& shape);

/// The ranks that share a render's work.
struct RanksToPlan {
  int count = 1;
  /// On one host, whose GPUs are taken to reach one another's memory.
  bool on_one_host = true;
  /// An earlier run has begun the same job: what the video's bytes depend on is no longer open.
  bool content_fixed = false;
};

/// What a job asks of memory: the layout as far as it is given, the sizes of its work, the means that it
/// names. Without job.vram the budget is 0.
MemoryRequest memory_request(const RenderJob& job, const DitConfig& config, const TensorSource& vae,
                             const StageShape& shape, const ComputeDevice& device, const RanksToPlan& ranks);

/// The means that the job names.
MemoryMeans memory_means(const RenderJob& job);

/// Writes the plan's layout and means into the job, as if its options had been given.
void adopt(const MemoryPlan& plan, RenderJob& job);

}  // namespace latentcast
