#include "latentcast/pipeline/layout_request.h"

namespace latentcast {
namespace {

// A process that runs alone can't do what these ask for.
bool ignores_num_gpus(const RenderJob& job, int world_size) {
  return world_size == 1 && job.num_gpus_dit.value_or(1) > 1;
}
bool ignores_vae_parallel(const RenderJob& job, int world_size) {
  return world_size == 1 && job.enable_vae_parallel;
}

std::optional<DecoderPlace> decoder_place(const RenderJob& job, int world_size) {
  const bool parallel = job.enable_vae_parallel && !ignores_vae_parallel(job, world_size);
  if (parallel || job.decoder == "rank") return DecoderPlace::kRank;
  if (job.decoder == "stream") return DecoderPlace::kStream;
  return std::nullopt;
}

}  // namespace

LayoutRequest layout_request(const RenderJob& job, int world_size, int64_t timesteps, int64_t layers) {
  LayoutRequest request;
  request.world_size = world_size;
  request.timesteps = timesteps;
  request.layers = layers;
  if (!ignores_num_gpus(job, world_size)) request.num_gpus_dit = job.num_gpus_dit;
  request.decoder = decoder_place(job, world_size);
  if (job.split != "auto") request.split = job.split == "layers" ? Split::kLayers : Split::kTimestep;
  request.partition.given = given_partition(job);
  if (!request.partition.given.empty()) {
    request.partition.kind = LayerPartition::Kind::kGiven;
  } else if (job.layer_partition == "even") {
    request.partition.kind = LayerPartition::Kind::kEven;
  }
  if (job.shard != "auto") request.shard = job.shard == "on";
  return request;
}

std::vector<std::string> layout_notices(const RenderJob& job, int world_size) {
  std::string ignored;
  if (ignores_num_gpus(job, world_size)) ignored = "--num_gpus_dit " + std::to_string(*job.num_gpus_dit);
  const bool both = !ignored.empty() && ignores_vae_parallel(job, world_size);
  if (ignores_vae_parallel(job, world_size))
    ignored += std::string(both ? " and " : "") + "--enable_vae_parallel";
  if (ignored.empty()) return {};
  return {"1 rank was started; " + ignored + (both ? " are" : " is") +
          " ignored (docs/ranks.md: how to start more)"};
}

}  // namespace latentcast
