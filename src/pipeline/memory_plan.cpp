#include "latentcast/pipeline/memory_plan.h"

#include <algorithm>

#include <c10/core/ScalarType.h>

#include "latentcast/error.h"
#include "latentcast/model/vae/decoder.h"
#include "latentcast/pipeline/cache_setup.h"
#include "latentcast/pipeline/layer_costs.h"
#include "latentcast/pipeline/layout_request.h"

namespace latentcast {
namespace {

bool fp8_works(const DitConfig& config, const ComputeDevice& device) {
  try {
    check_fp8(config);
  } catch (const InputError&) {
    return false;
  }
  return !device.is_cuda() || device.dtype == at::kBFloat16;
}

WorkSizes work_sizes(const RenderJob& job, const StageShape& shape, const ComputeDevice& device,
                     const RanksToPlan& ranks) {
  WorkSizes work;
  work.latent_rows = shape.latent_rows;
  work.latent_columns = shape.latent_columns;
  work.timesteps = job.sample_steps;
  work.blocks_per_clip = shape.blocks_per_clip;
  work.element_bytes = static_cast<int64_t>(c10::elementSize(device.dtype));
  work.on_gpu = device.is_cuda();
  work.speakers = std::max<int64_t>(std::ssize(job.audio), 1);
  work.pose = !job.pose_video.empty();
  work.batch_decode = job.decode == DecodeMode::kBatch;
  work.exact_checkpoints = job.checkpoint == "exact";
  work.copy_engines = device.is_cuda() && ranks.on_one_host && job.gather == "auto";
  return work;
}

}  // namespace

ModelSizes model_sizes(const DitConfig& config, const TensorSource& vae, const StageShape& shape) {
  ModelSizes sizes;
  sizes.dim = config.dim;
  sizes.ffn_dim = config.ffn_dim;
  sizes.heads = config.heads;
  sizes.layers = config.layers;
  sizes.freq_dim = config.freq_dim;
  sizes.text_dim = config.text_dim;
  sizes.text_len = config.text_len;
  sizes.audio_dim = config.audio_dim;
  sizes.audio_layers = config.audio_layers;
  sizes.audio_tokens = config.audio_tokens;
  sizes.inject_layers = config.inject_layers;
  const DecoderElements decoder = decoder_elements(vae, shape.latent_rows, shape.latent_columns);
  sizes.decoder_weights = decoder.weights;
  sizes.decoder_state = decoder.state;
  sizes.decoder_width = vae.shape("decoder.head.2.weight").at(1);
  return sizes;
}

MemoryMeans memory_means(const RenderJob& job) {
  return {job.fp8, cache_means(job), job.offload_decoder_state, job.offload_audio_encoder};
}

MemoryRequest memory_request(const RenderJob& job, const DitConfig& config, const TensorSource& vae,
                             const StageShape& shape, const ComputeDevice& device, const RanksToPlan& ranks) {
  MemoryRequest request;
  request.layout = layout_request(job, ranks.count, job.sample_steps, config.layers);
  request.layout.costs.layers = layer_costs(config, shape);
  request.model = model_sizes(config, vae, shape);
  request.work = work_sizes(job, shape, device, ranks);
  request.given = memory_means(job);
  request.fp8_works = fp8_works(config, device);
  request.content_fixed = ranks.content_fixed;
  if (job.vram) {
    request.budget = budget_bytes(*job.vram);
    request.budget_text = "--vram " + budget_text(*job.vram);
  }
  return request;
}

void adopt(const MemoryPlan& plan, RenderJob& job) {
  const RankLayout& layout = plan.layout;
  if (layout.world_size > 1) {
    const bool layers = layout.split == Split::kLayers;
    job.split = layers ? "layers" : "timestep";
    job.layer_partition = layers ? stage_sizes_text(layout) : "balanced";
    job.decoder = layout.decoder == DecoderPlace::kRank ? "rank" : "stream";
    job.shard = layout.shard ? "on" : "off";
  }
  const CacheMeans& cache = plan.means.cache;
  job.fp8 = plan.means.fp8;
  job.kv_dtype = cache.fp8 ? "fp8" : "auto";
  job.offload_kv_cache = cache.on_host;
  job.kv_layers_on_device = static_cast<int>(cache.device_layers);
  job.kv_buffers = static_cast<int>(cache.buffers);
  job.offload_condition_cache = cache.condition_on_host;
  job.offload_decoder_state = plan.means.decoder_state_on_host;
  job.offload_audio_encoder = plan.means.audio_encoder_on_host;
}

}  // namespace latentcast
