#include "rank_setup.h"

#include <string>

#include "shared_values.h"

#include "latentcast/comm/coordinate.h"
#include "latentcast/error.h"
#include "latentcast/pipeline/layer_costs.h"
#include "latentcast/pipeline/layout_request.h"

namespace latentcast {
namespace {

RenderJob agree(RenderJob job, Communicator& control) {
  job.run_dir = share_text(job.run_dir.string(), control);
  job.base_seed = std::stoull(share_text(std::to_string(*job.base_seed), control));
  job.threads = std::stoi(share_text(std::to_string(job.threads), control));
  job.checkpoint = share_text(job.checkpoint, control);
  return job;
}

RankLayout lay_out(const RankSetup& setup, int world_size) {
  const DitConfig& config = setup.checkpoint.dit_config;
  LayoutRequest request = layout_request(setup.job, world_size, setup.job.sample_steps, config.layers);
  request.costs.layers = layer_costs(config, setup.shape);
  return make_layout(request);
}

/// Whether 8 bits can be had here.
void check_fp8(const RankSetup& setup) {
  check_fp8(setup.checkpoint.dit_config);
  if (setup.device.is_cuda() && setup.device.dtype != at::kBFloat16) {
    throw InputError("--fp8 needs --dtype bf16 on a GPU: products in 8 bits give bf16");
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
    setup.layout = lay_out(setup, mpi.world().size);
    if (agreed.fp8) {
      check_fp8(setup);
    }
  });
  return setup;
}

}  // namespace latentcast
