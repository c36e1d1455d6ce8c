#include "bench_run.h"

#include "random_source.h"
#include <ATen/ATen.h>

#include "latentcast/model/fp8_source.h"
#include "latentcast/model/vae/latent_scale.h"
#include "latentcast/pipeline/cache_setup.h"

namespace latentcast {
namespace {

constexpr int64_t kTextTokens = 64;
constexpr int64_t kMotionLatents = 19;
// Runs begin as a render that is continued after clip 0: windows are full, and no later condition pass
// empties the pipeline.
constexpr int64_t kFirstClip = 1;

}  // namespace

class BenchRun::NoVideo : public FrameTaker {
 public:
  void take(const at::Tensor&) override {}
  void end_clip() override {}
};

BenchRun::BenchRun(const BenchSetup& setup, const BenchLayout& bench, const RankLayout& layout,
                   std::unique_ptr<Communicator> shard_group)
    : setup_(setup),
      bench_(bench),
      layout_(layout),
      waits_(setup.device),
      pipeline_(setup.pipeline, waits_),
      denoised_(setup.device) {
  job_.base_seed = 0;
  inputs_.size = {setup.job.width, setup.job.height};
  if (layout_.stage_of(setup_.rank) >= 0) {
    make_layers(std::move(shard_group));
  }
  if (decodes()) {
    RandomSource source(at::TensorOptions().dtype(setup_.device.dtype).device(setup_.device.device));
    list_vae_decoder(source, setup_.model.vae_width);
    vae_ = std::make_shared<const VaeDecoder>(source);
    weights_.decoder = source.bytes_given();
  }
}

void BenchRun::make_layers(std::unique_ptr<Communicator> shard_group) {
  const DitConfig& config = setup_.model.dit;
  RandomSource source(at::TensorOptions().dtype(setup_.device.dtype).device(setup_.device.device));
  globals_ = take_dit_globals(source, config);
  Fp8Source in_fp8(source);
  RangeSource& used = setup_.job.fp8 ? static_cast<RangeSource&>(in_fp8) : source;
  if (shard_group) {
    auto group = std::make_unique<TimedCommunicator>(std::move(shard_group), waits_);
    auto layers = std::make_unique<ShardedLayers>(used, config, std::move(group), bench_.gather);
    sharded_ = layers.get();
    weights_.layers = sharded_->counters().resident_bytes;
    layers_ = std::move(layers);
    return;
  }
  const Range range = layout_.stages[static_cast<size_t>(layout_.stage_of(setup_.rank))].layers;
  auto layers = std::make_unique<RangeOfLayers>(used, config, range.begin, range.end);
  weights_.layers = layers->bytes();
  layers_ = std::move(layers);
}

/// What encoders would have given, of the right shape, on the CPU.
void BenchRun::make_conditions(int64_t clips) {
  const StageShape shape = setup_.shape();
  const DitConfig& config = setup_.model.dit;
  conditions_.clips = clips;
  conditions_.text = at::randn({kTextTokens, config.text_dim});
  conditions_.motion_latents =
      at::randn({kLatentChannels, kMotionLatents, shape.latent_rows, shape.latent_columns});
  conditions_.reference_latents = conditions_.motion_latents.narrow(1, 0, 1).contiguous();
  conditions_.audio = at::randn({1, clips * shape.blocks_per_clip * kBlockFrames, config.audio_dim});
}

void BenchRun::make_decoder(const ScheduleShape& schedule) {
  video_ = std::make_unique<NoVideo>();
  DecodeStage stage(vae_, setup_.decode, conditions_.motion_latents, off_);
  if (setup_.job.offload_decoder_state) {
    stage.keep_state_on_host(setup_.device);
  }
  const BlockSink sink = [this](int64_t, bool clip_closed) {
    if (!clip_closed) {
      decoded_.push_back(denoised_.host_seconds());
    }
  };
  decoder_.emplace(std::move(stage), *video_, schedule, off_, sink,
                   decodes_beside() ? setup_.activity.decoder : setup_.activity.main);
}

void BenchRun::make_stage(const ScheduleShape& schedule) {
  const auto number = static_cast<size_t>(layout_.stage_of(setup_.rank));
  const StagePlan& plan = layout_.stages[number];
  const CacheMeans& caches = setup_.job.caches;
  const std::shared_ptr<HostPieces> pieces =
      make_host_pieces(cache_shape(setup_.model.dit, plan, setup_.shape()), caches, setup_.device, {});
  StageMemory memory = stage_memory(caches, pieces);
  memory.audio_encoder_on_host = setup_.job.offload_audio_encoder;
  DenoiseStage stage(setup_.model.dit, std::move(globals_), std::move(layers_), plan, setup_.shape(),
                     make_euler_schedule(static_cast<int>(schedule.timesteps), 3.0), conditions_.text,
                     {std::nullopt, *job_.base_seed}, memory);
  globals_ = {};
  weights_.transformer = weights_.layers + stage.global_weight_bytes();
  IdlePass idle = sharded_ ? IdlePass([this] { sharded_->pass_without_compute(); }) : IdlePass();
  stage_.emplace(std::move(stage), layout_, setup_.rank, schedule,
                 BlockFeed(job_, conditions_, setup_.shape()), conditions_,
                 PoseLatents(job_, no_files_, inputs_, setup_.device, setup_.activity.main, kFirstClip),
                 pipeline_, finished_sink(), std::move(idle), off_, setup_.activity.main);
  stage_->set_first_latent(conditions_.reference_latents.to(setup_.device.device));
  stage_->stage().restored();
}

/// As in a render: a thread and a stream on a GPU, while a CPU decodes in line.
bool BenchRun::decodes_beside() const {
  return decodes() && bench_.decoder == BenchDecoder::kStream && setup_.device.is_cuda();
}

LatentSink BenchRun::finished_sink() {
  if (bench_.decoder == BenchDecoder::kOff) {
    return [this](const BlockItem&, const at::Tensor&) { count_off(); };
  }
  if (bench_.decoder == BenchDecoder::kRank) {
    return [this](const BlockItem&, const at::Tensor& latents) { hand_over(latents); };
  }
  if (decodes_beside()) {
    worker_.emplace(*decoder_, setup_.device, setup_.job.threads, setup_.activity.decoder);
    return [this](const BlockItem&, const at::Tensor& latents) { worker_->take(latents); };
  }
  return [this](const BlockItem&, const at::Tensor& latents) { decoder_->take(latents); };
}

/// The host stays near the device, as it does where blocks are decoded.
void BenchRun::count_off() {
  denoised_.mark();
  if (denoised_.size() > 2) {
    denoised_.wait_for(denoised_.size() - 3);
  }
}

void BenchRun::hand_over(const at::Tensor& latents) {
  if (handed_over_) {
    handed_over_->finish();
  }
  handed_over_tensor_ = latents.contiguous();
  handed_over_ = pipeline_.launch_send(handed_over_tensor_, layout_.decoder_rank);
}

void BenchRun::make(const BenchBlocks& blocks) {
  const int64_t per_clip = setup_.shape().blocks_per_clip, clips = (blocks.all + per_clip - 1) / per_clip;
  const ScheduleShape schedule{kFirstClip + clips, per_clip, layout_.stages.back().timesteps.end,
                               blocks.all - (clips - 1) * per_clip, kFirstClip};
  make_conditions(schedule.clips);
  if (decodes()) {
    make_decoder(schedule);
  }
  if (layout_.stage_of(setup_.rank) >= 0) {
    make_stage(schedule);
  }
  synchronize(setup_.device);
  release_cached_memory(setup_.device);  // that only the making needed
}

void BenchRun::run() {
  denoised_.start();
  waits_.start();
  if (stage_) {
    stage_->run();
  } else {
    const StageShape shape = setup_.shape();
    const at::Tensor like =
        at::empty({kLatentChannels, kBlockLatents, shape.latent_rows, shape.latent_columns},
                  at::TensorOptions().device(setup_.device.device));
    decoder_->receive_all(pipeline_, layout_.stages.back().rank, like);
  }
  if (handed_over_) {
    handed_over_->finish();
  }
  if (worker_) {
    worker_->finish();
  }
  synchronize(setup_.device);
}

std::vector<double> BenchRun::block_ends() const {
  std::vector<double> ends = decoded_;
  for (size_t i = 0; i < denoised_.size(); ++i) {
    ends.push_back(denoised_.seconds(i));
  }
  return ends;
}

}  // namespace latentcast
