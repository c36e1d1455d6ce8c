#include "rank_setup.h"

#include <string>

#include "host_copies.h"
#include "shared_values.h"
#include <c10/core/ScalarType.h>

#include "latentcast/comm/coordinate.h"
#include "latentcast/error.h"
#include "latentcast/model/dit/gpu_sizes.h"
#include "latentcast/pipeline/cache_setup.h"
#include "latentcast/pipeline/layer_costs.h"
#include "latentcast/pipeline/layout_request.h"
#include "latentcast/pipeline/memory_plan.h"
#include "latentcast/progress/run_paths.h"

namespace latentcast {
namespace {

RenderJob agree(RenderJob job, Communicator& control) {
  job.run_dir = share_text(job.run_dir.string(), control);
  job.base_seed = std::stoull(share_text(std::to_string(*job.base_seed), control));
  job.threads = std::stoi(share_text(std::to_string(job.threads), control));
  job.checkpoint = share_text(job.checkpoint, control);
  return job;
}

/// Whether rank 0 finds an earlier run of the job, whose choices hold.
bool agree_on_begun(const RenderJob& job, Communicator& control) {
  std::error_code ignored;
  const bool own = std::filesystem::exists(RunPaths(job).job(), ignored);
  return share_text(own ? "begun" : "new", control) == "begun";
}

RankLayout lay_out(const RankSetup& setup, int world_size) {
  const DitConfig& config = setup.checkpoint.dit_config;
  LayoutRequest request = layout_request(setup.job, world_size, setup.job.sample_steps, config.layers);
  request.costs.layers = layer_costs(config, setup.shape);
  return make_layout(request);
}

/// With a budget, chooses what the job leaves open so that all ranks stay within it.
void plan_memory(RankSetup& setup, const World& world, bool begun) {
  const Checkpoint& checkpoint = setup.checkpoint;
  const CheckpointSource vae = checkpoint.vae_source(setup.device);
  const MemoryRequest request =
      memory_request(setup.job, checkpoint.dit_config, vae, setup.shape, setup.device,
                     {world.size, world.local_size == world.size, begun});
  if (setup.job.vram) {
    adopt(plan_memory(request), setup.job);
  }
  setup.layout = lay_out(setup, world.size);
  setup.memory = {setup.layout, memory_means(setup.job), {}};
  setup.memory.ranks = estimate_memory(request.model, request.work, setup.layout, setup.memory.means);
  setup.copy_engines = request.work.copy_engines && world.size > 1;
  setup.outside_bytes = outside_bytes(request.model, request.work, setup.layout, world.rank);
}

/// Whether 8 bits can be had here.
void check_fp8(const RankSetup& setup) {
  check_fp8(setup.checkpoint.dit_config);
  if (setup.device.is_cuda() && setup.device.dtype != at::kBFloat16) {
    throw InputError("--fp8 needs --dtype bf16 on a GPU: products in 8 bits give bf16");
  }
}

void check_caches(const RankSetup& setup) {
  const CacheMeans means = cache_means(setup.job);
  check_caches(means, setup.checkpoint.dit_config, setup.device);
  const int stage = setup.layout.stage_of(setup.rank);
  if (stage < 0) {
    return;
  }
  const AttentionCacheShape shape =
      cache_shape(setup.checkpoint.dit_config, setup.layout.stages[static_cast<size_t>(stage)], setup.shape);
  const CacheBytes bytes =
      cache_bytes(shape, means, static_cast<int64_t>(c10::elementSize(setup.device.dtype)));
  const std::string shortage = host_shortage(bytes, setup.ranks_on_host, available_host_bytes());
  if (!shortage.empty()) {
    throw InputError(shortage);
  }
}

}  // namespace

RankSetup set_up_rank(const RenderJob& job, const MpiSession& mpi, Communicator& control) {
  RankSetup setup;
  setup.rank = mpi.world().rank;
  setup.ranks_on_host = mpi.world().local_size;
  setup.activity = &mpi.activity();
  Activity& activity = mpi.activity().main;
  setup.job = agree(job, control);
  const bool begun = agree_on_begun(setup.job, control);
  coordinate(control, [&] {
    const RenderJob& agreed = setup.job;
    setup.device = select_device(agreed.device, agreed.dtype, agreed.threads,
                                 [&](int gpus) { return device_of_rank(mpi.world(), gpus); });
    activity.begin("opening the checkpoint");
    setup.checkpoint = open_checkpoint(agreed);
    setup.checkpoint.on_read = [&activity](const std::string& tensor, int64_t) {
      activity.part("reading " + tensor);
    };
    activity.begin("reading the inputs");
    setup.inputs = read_inputs(agreed, setup.checkpoint);
    setup.shape = {setup.inputs.latent_rows(), setup.inputs.latent_columns(),
                   agreed.infer_frames / kBlockFrames};
    plan_memory(setup, mpi.world(), begun);
    if (setup.device.is_cuda()) {
      check_gpu_sizes(setup.checkpoint.dit_config);
    }
    if (agreed.fp8) {
      check_fp8(setup);
    }
    check_caches(setup);
  });
  return setup;
}

}  // namespace latentcast
