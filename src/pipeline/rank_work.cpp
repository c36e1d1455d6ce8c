#include "rank_work.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "rank_restore.h"
#include "watched_layers.h"
#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "latentcast/comm/coordinate.h"
#include "latentcast/error.h"
#include "latentcast/model/fp8_source.h"
#include "latentcast/model/sampler/noise.h"
#include "latentcast/model/vae/latent_scale.h"
#include "latentcast/telemetry/memory.h"

namespace latentcast {

RankWork::RankWork(const RankSetup& setup, const RenderPlan& plan, const Conditions& conditions,
                   const MpiSession& mpi, VideoAssembler* video, BlockSink decoded, Trace& trace)
    : setup_(setup), plan_(plan), conditions_(conditions), trace_(trace), video_(video) {
  setup_.activity->main.begin("loading weights");
  make_links(mpi);
  if (video_ != nullptr) {
    make_decoder(*video_, std::move(decoded));
  }
  make_stage();
}

void RankWork::make_links(const MpiSession& mpi) {
  const auto deadline = std::chrono::seconds(setup_.job.timeout);
  pipeline_ = setup_.device.is_cuda() && mpi.world().size > 1
                  ? make_nccl_communicator(mpi, setup_.device.device.index(), deadline,
                                           setup_.job.gather == "auto" ? SendWay::kAuto : SendWay::kNccl)
                  : mpi.cpu_communicator(deadline);
  if (setup_.job.vram && setup_.copy_engines && pipeline_->carrier().nccl) {
    throw InputError("--vram: it was counted on that GPUs read one another's memory, and they can't: " +
                     pipeline_->carrier().refusal +
                     "; give --gather collective too, then the buffers of NCCL, which does it, are counted");
  }
  if (setup_.layout.shard) {
    shard_group_ = pipeline_->split(setup_.layout.stage_of(setup_.rank) >= 0 ? 0 : -1);
  }
}

void RankWork::make_decoder(VideoAssembler& video, BlockSink decoded) {
  CheckpointSource source = setup_.checkpoint.vae_source(setup_.device);
  DecodeStage stage(std::make_shared<const VaeDecoder>(source), setup_.job.decode, conditions_.motion_latents,
                    trace_);
  if (setup_.job.offload_decoder_state) {
    stage.keep_state_on_host(setup_.device);
  }
  decoder_.emplace(std::move(stage), video, plan_.schedule, trace_, std::move(decoded),
                   decodes_beside() ? setup_.activity->decoder : setup_.activity->main);
}

void RankWork::make_stage() {
  const int number = setup_.layout.stage_of(setup_.rank);
  if (number < 0) {
    return;
  }
  const RenderJob& job = setup_.job;
  const StageShape& shape = setup_.shape;
  const EulerSchedule schedule = make_euler_schedule(job.sample_steps, job.sample_shift);
  if (setup_.is_root()) {
    trace_.add("sigmas", at::tensor(at::ArrayRef<float>(schedule.sigmas), at::kFloat));
    trace_.add("noise_clip0", clip_noise(*job.base_seed, 0, shape.blocks_per_clip * kBlockLatents,
                                         shape.latent_rows, shape.latent_columns));
  }
  const Checkpoint& checkpoint = setup_.checkpoint;
  CheckpointSource source = checkpoint.dit_source(setup_.device);
  DitGlobalWeights globals = take_dit_globals(source, checkpoint.dit_config);
  const StagePlan& plan = setup_.layout.stages[static_cast<size_t>(number)];
  Activity& activity = setup_.activity->main;
  Fp8Source in_fp8(source);
  RangeSource& used = job.fp8 ? static_cast<RangeSource&>(in_fp8) : source;
  auto layers = std::make_unique<WatchedLayers>(make_layers(used, plan), activity);
  DenoiseStage stage(checkpoint.dit_config, std::move(globals), std::move(layers), plan, shape, schedule,
                     conditions_.text, {job.cond_distance, *job.base_seed}, make_memory(plan));
  IdlePass idle = sharded_ ? IdlePass([this] { sharded_->pass_without_compute(); }) : IdlePass();
  PoseLatents pose(job, checkpoint, setup_.inputs, setup_.device, activity, plan_.schedule.first_clip);
  stage_.emplace(std::move(stage), setup_.layout, setup_.rank, plan_.schedule,
                 BlockFeed(job, conditions_, shape), conditions_, std::move(pose), *pipeline_,
                 finished_sink(), std::move(idle), trace_, activity);
  if (job.checkpoint == "light") {
    stage_->keep_latents(clips_replayed(shape.blocks_per_clip) * shape.blocks_per_clip);
  }
  if (!job.trace_inputs.empty()) {
    stage_->set_inputs(TraceInputs(job.trace_inputs));
  }
}

StageMemory RankWork::make_memory(const StagePlan& plan) {
  const CacheMeans means = cache_means(setup_.job);
  Activity& activity = setup_.activity->main;
  activity.begin("taking host memory for the caches");
  pieces_ = make_host_pieces(cache_shape(setup_.checkpoint.dit_config, plan, setup_.shape), means,
                             setup_.device, [&activity] { activity.advance(); });
  StageMemory memory = stage_memory(means, pieces_);
  memory.audio_encoder_on_host = setup_.job.offload_audio_encoder;
  return memory;
}

std::unique_ptr<LayerProvider> RankWork::make_layers(RangeSource& source, const StagePlan& plan) {
  const DitConfig& config = setup_.checkpoint.dit_config;
  if (shard_group_) {
    const GatherWay way = setup_.job.gather == "collective" ? GatherWay::kCollective : GatherWay::kAuto;
    auto layers = std::make_unique<ShardedLayers>(source, config, std::move(shard_group_), way);
    sharded_ = layers.get();
    return layers;
  }
  return std::make_unique<RangeOfLayers>(source, config, plan.layers.begin, plan.layers.end);
}

bool RankWork::decodes_beside() const {
  return video_ != nullptr && setup_.layout.stage_of(setup_.rank) >= 0 && setup_.device.is_cuda() &&
         !trace_.active() && !setup_.job.offload_decoder_state;
}

/// Where the last stage's blocks go: to the decoder of this rank, or to the decode rank.
LatentSink RankWork::finished_sink() {
  if (decodes_beside()) {
    worker_.emplace(*decoder_, setup_.device, setup_.job.threads, setup_.activity->decoder);
    return [this](const BlockItem&, const at::Tensor& latents) { worker_->take(latents); };
  }
  if (decoder_) {
    return [this](const BlockItem&, const at::Tensor& latents) { decoder_->take(latents); };
  }
  return [this](const BlockItem&, const at::Tensor& latents) { hand_over(latents); };
}

/// A few blocks may wait for the decode rank (one over NCCL or MPI, four in slots); the next one holds the
/// last stage up: memory stays bounded.
void RankWork::hand_over(const at::Tensor& latents) {
  if (handed_over_) {
    handed_over_->finish();
  }
  handed_over_tensor_ = latents.contiguous();
  handed_over_ = pipeline_->launch_send(handed_over_tensor_, setup_.layout.decoder_rank);
}

void RankWork::restore(const CheckpointReader& checkpoint) {
  if (stage_ && stage_->stage().has_first_layer() && plan_.schedule.first_clip > 0) {
    const at::Tensor latent = checkpoint.read(CheckpointPart::render(), "first_latent");
    stage_->set_first_latent(latent.to(setup_.device.device));
  }
  const bool light = checkpoint.manifest().strength == CheckpointStrength::kLight;
  if (stage_ && !light) {
    restore_caches(checkpoint, stage_->stage());
  } else if (stage_ && stage_->stage().has_last_layer()) {
    // The clips before the cut come again, with the latents that they had.
    stage_->set_replay(read_replay(checkpoint, stage_->stage(), setup_.device));
  }
  if (decoder_ && !light) {
    restore_decoder(checkpoint, decoder_->decoder(), setup_.device);
  } else if (decoder_) {
    decoder_->hide_clips_before(checkpoint.manifest().position);
  }
}

RankState RankWork::state() {
  RankState state;
  if (stage_) {
    state.stage = &stage_->stage();
    state.history = &stage_->history();
    state.first_latent = setup_.is_root() ? stage_->first_latent() : at::Tensor();
  }
  state.decoder = decoder_ ? &decoder_->decoder() : nullptr;
  state.video = video_;
  return state;
}

bool RankWork::run(Cuts& cuts, RankSaver& saver) {
  bool stopped = false;
  const CutAfter cut_after = [&](int64_t clip) { return cuts.after(clip) != Cut::kNone; };
  const AtCut at_cut = [&](int64_t position) {
    if (worker_) {
      worker_->finish();
    }
    saver.save(position, state());
    stopped = cuts.after(position - 1) == Cut::kStop;
    return !stopped;
  };
  const auto poll = [&] { saver.poll(); };
  if (stage_) {
    stage_->run(cut_after, at_cut, poll);
  } else {
    const StageShape& shape = setup_.shape;
    const at::Tensor like =
        at::empty({kLatentChannels, kBlockLatents, shape.latent_rows, shape.latent_columns},
                  at::TensorOptions().device(setup_.device.device));
    decoder_->receive_all(*pipeline_, setup_.layout.stages.back().rank, like, cut_after, at_cut, poll);
  }
  if (handed_over_) {
    handed_over_->finish();
  }
  if (worker_) {
    worker_->finish();
  }
  saver.finish();
  cuts.close();
  return !stopped;
}

std::string RankWork::gathers_text() const {
  if (sharded_ == nullptr) {
    return {};
  }
  const PeerShares& shares = sharded_->shares();
  const std::string refusal = shares.refusal();
  return "layers are gathered by " + shares.way() +
         (refusal.empty() ? std::string() : ", since GPUs can't read one another's memory: " + refusal);
}

std::string RankWork::sends_text() const {
  const Carrier carrier = pipeline_->carrier();
  return carrier.refusal.empty() ? std::string()
                                 : "tokens and latents pass by " + carrier.way +
                                       ", since GPUs can't read one another's memory: " + carrier.refusal;
}

std::string RankWork::report() const {
  const StageCounters counters = stage_ ? stage_->counters() : StageCounters{};
  const ShardCounters shards = sharded_ ? sharded_->counters() : ShardCounters{};
  nlohmann::ordered_json json;
  json["rank"] = setup_.rank;
  json["condition_passes"] = counters.condition_passes;
  json["block_passes"] = counters.block_passes;
  json["idle_passes"] = counters.idle_passes;
  json["ticks"] = counters.ticks;
  if (const std::string way = pipeline_->carrier().way; !way.empty() && pipeline_->size() > 1) {
    json["sends"] = way;
  }
  if (sharded_ != nullptr) {
    json["gathers"] = sharded_->shares().way();
  }
  json["layers_gathered"] = shards.layers_gathered;
  json["bytes_gathered"] = shards.bytes_gathered;
  json["frames_written"] = video_ != nullptr ? video_->frames_written() : 0;
  json["peak_resident_bytes"] = peak_resident_bytes();
  json["peak_device_bytes"] = peak_device_bytes(setup_.device);
  if (stage_) {
    const StagePlan& plan = setup_.layout.stages[static_cast<size_t>(setup_.layout.stage_of(setup_.rank))];
    const CacheMeans means = cache_means(setup_.job);
    const CacheBytes bytes = cache_bytes(cache_shape(setup_.checkpoint.dit_config, plan, setup_.shape), means,
                                         static_cast<int64_t>(c10::elementSize(setup_.device.dtype)));
    const int64_t layers = plan.layers.size();
    json["caches"] = {{"on_host", means.on_host},
                      {"layers_on_device", means.on_host ? std::min(means.device_layers, layers) : layers},
                      {"condition_on_host", means.condition_on_host},
                      {"buffers", means.buffers},
                      {"fp8", means.fp8},
                      {"packed", means.packed},
                      {"device_bytes", bytes.device},
                      {"host_bytes", bytes.host}};
  }
  if (decoder_) {
    json["decoder_state_on_host"] = setup_.job.offload_decoder_state;
  }
  if (stage_) {
    json["audio_encoder_on_host"] = setup_.job.offload_audio_encoder;
  }
  if (setup_.job.fp8) {
    json["not_in_fp8"] = names_not_in_fp8();
  }
  return json.dump();
}

}  // namespace latentcast
