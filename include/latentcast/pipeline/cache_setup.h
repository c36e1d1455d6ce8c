#pragma once

#include <memory>
#include <string>
#include <vector>

#include "latentcast/config/render_job.h"
#include "latentcast/device/device.h"
#include "latentcast/model/dit/weights.h"
#include "latentcast/pipeline/host_pieces.h"
#include "latentcast/pipeline/layout.h"
#include "latentcast/pipeline/stage.h"

namespace latentcast {

/// What the job says about the caches.
CacheMeans cache_means(const RenderJob& job);

/// What a stage's caches are for.
AttentionCacheShape cache_shape(const DitConfig& config, const StagePlan& plan, const StageShape& shape);

/// Throws InputError for what can't be: rows that don't fit 8 bits' kernels, attention in 8 bits on a GPU or
/// with heads that it isn't for, more layers on the device than there are.
void check_caches(const CacheMeans& means, const DitConfig& config, const ComputeDevice& device);
/// What the host has too little of for the caches of its ranks, for people; empty if they fit.
/// `available`: see available_host_bytes().
std::string host_shortage(const CacheBytes& bytes, int ranks_on_host, int64_t available);

/// Host memory for a stage's caches, all of it taken now; null if none is needed.
std::shared_ptr<HostPieces> make_host_pieces(const AttentionCacheShape& shape, const CacheMeans& means,
                                             const ComputeDevice& device, std::function<void()> on_step);
/// For DenoiseStage. `pieces` may be null.
StageMemory stage_memory(const CacheMeans& means, const std::shared_ptr<HostPieces>& pieces);

/// What is kept where, in a line for people; empty if all is where attention reads it.
std::string caches_text(const AttentionCacheShape& shape, const CacheMeans& means, int64_t element_bytes);

}  // namespace latentcast
