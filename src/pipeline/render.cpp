#include "latentcast/pipeline/render.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "shared_values.h"
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "latentcast/comm/coordinate.h"
#include "latentcast/error.h"
#include "latentcast/media/sound_track.h"
#include "latentcast/model/sampler/noise.h"
#include "latentcast/model/vae/latent_scale.h"
#include "latentcast/pipeline/conditions.h"
#include "latentcast/pipeline/decode_runner.h"
#include "latentcast/pipeline/decode_worker.h"
#include "latentcast/pipeline/layer_costs.h"
#include "latentcast/pipeline/layout.h"
#include "latentcast/pipeline/layout_request.h"
#include "latentcast/pipeline/run_directory.h"
#include "latentcast/pipeline/stage_runner.h"
#include "latentcast/shard/sharded_layers.h"
#include "latentcast/telemetry/clip_log.h"
#include "latentcast/telemetry/memory.h"

namespace latentcast {
namespace {

using Clock = std::chrono::steady_clock;

/// A render on one rank: what all its parts share. Everything collective is called by all ranks in the same
/// order.
class RankRender {
 public:
  RankRender(const RenderJob& job, const MpiSession& mpi, const ProgressSink& progress, const NoteSink& note)
      : mpi_(mpi),
        control_(mpi.cpu_communicator(std::chrono::seconds(job.timeout))),
        job_(agree(job)),
        progress_(progress),
        note_(note) {}

  RenderResult run() {
    prepare();
    encode();
    load();
    alone([&] { render_blocks(); });
    return finish();
  }

 private:
  /// What rank 0 drew or chose holds for all.
  RenderJob agree(RenderJob job) {
    job.run_dir = share_text(job.run_dir.string(), *control_);
    job.base_seed = std::stoull(share_text(std::to_string(*job.base_seed), *control_));
    job.threads = std::stoi(share_text(std::to_string(job.threads), *control_));
    return job;
  }

  /// Everything that can go wrong for the user's reasons, before any weight is read.
  void prepare() {
    coordinate(*control_, [&] {
      device_ = select_device(job_.device, job_.dtype, job_.threads,
                              [&](int gpus) { return device_of_rank(mpi_.world(), gpus); });
      checkpoint_ = open_checkpoint(job_);
      inputs_ = read_inputs(job_, checkpoint_);
      shape_ = {inputs_.latent_rows(), inputs_.latent_columns(), job_.infer_frames / kBlockFrames};
      layout_ = lay_out();
    });
    coordinate(*control_, [&] {
      if (is_root()) {
        run_.emplace(job_);
        write_text_file(job_.run_dir / "layout.json", layout_json(layout_) + "\n");
      }
    });
    coordinate(*control_, [&] {
      if (!job_.trace.empty()) {
        trace_ = Trace(trace_file(), job_.trace_blocks);
      }
    });
    show_layout();
  }

  RankLayout lay_out() const {
    const DitConfig& config = checkpoint_.dit_config;
    LayoutRequest request = layout_request(job_, mpi_.world().size, job_.sample_steps, config.layers);
    request.costs.layers = layer_costs(config, shape_);
    return make_layout(request);
  }

  void show_layout() {
    const std::vector<std::string> hosts = mpi_.gather_strings(mpi_.world().host);
    const std::vector<std::string> devices = mpi_.gather_strings(device_.name);
    if (is_root()) {
      for (const std::string& line : layout_notices(job_, mpi_.world().size)) {
        note_(line);
      }
    }
    if (is_root() && mpi_.world().size > 1) {
      note_("layout:\n" + layout_table(layout_, hosts, devices));
    }
  }

  /// The encoders run on rank 0; the others get what they gave.
  void encode() {
    phase("conditions");
    Conditions own;
    coordinate(*control_, [&] {
      if (is_root()) {
        own = encode_conditions(job_, checkpoint_, inputs_, device_, trace_);
        const Timeline timeline = make_timeline(job_, own.clips, inputs_.sound_seconds);
        encode_sound_track(job_.audio, sound_track(), static_cast<double>(timeline.video_frames) / 25.0);
      }
    });
    conditions_ = share_conditions(std::move(own), *control_);
    timeline_ = make_timeline(job_, conditions_.clips, inputs_.sound_seconds);
    schedule_shape_ = {timeline_.clips, shape_.blocks_per_clip, job_.sample_steps, blocks_in_last_clip()};
  }

  /// Blocks after the sound's end are only computed for a trace.
  int64_t blocks_in_last_clip() const {
    int64_t blocks = timeline_.blocks_per_clip();
    while (job_.trace.empty() && blocks > 1 && !timeline_.is_seen(timeline_.clips - 1, blocks - 1)) {
      --blocks;
    }
    return blocks;
  }

  /// Communicators are made by all ranks, stages and decoder by those who have them.
  void load() {
    phase("weights");
    const auto deadline = std::chrono::seconds(job_.timeout);
    alone([&] {
      pipeline_ = device_.is_cuda() && mpi_.world().size > 1
                      ? make_nccl_communicator(mpi_, device_.device.index(), deadline)
                      : mpi_.cpu_communicator(deadline);
      if (layout_.shard) {
        shard_group_ = pipeline_->split(layout_.stage_of(rank()) >= 0 ? 0 : -1);
      }
    });
    coordinate(*control_, [&] {
      if (layout_.decodes(rank())) {
        make_decoder();
      }
    });
    // Sharded weights are gathered while a stage is made, so a failure here is one rank's own.
    alone([&] { make_stage(); });
  }

  void make_decoder() {
    VideoSettings settings{inputs_.size.width, inputs_.size.height};
    settings.crf = job_.crf;
    settings.threads = job_.threads;
    video_.emplace(job_.run_dir, settings, timeline_, sound_track());
    log_.emplace(job_.run_dir / "telemetry.csv");
    CheckpointSource source = checkpoint_.vae_source(device_);
    DecodeStage stage(std::make_shared<const VaeDecoder>(source), job_.decode, conditions_.motion_latents,
                      trace_);
    decoder_.emplace(std::move(stage), *video_, schedule_shape_, trace_,
                     [this](int64_t clip, bool closed) { report(clip, closed); });
  }

  void make_stage() {
    const int number = layout_.stage_of(rank());
    if (number < 0) {
      return;
    }
    const StagePlan& plan = layout_.stages[static_cast<size_t>(number)];
    const EulerSchedule schedule = make_euler_schedule(job_.sample_steps, job_.sample_shift);
    if (is_root()) {
      trace_.add("sigmas", at::tensor(at::ArrayRef<float>(schedule.sigmas), at::kFloat));
      trace_.add("noise_clip0", clip_noise(*job_.base_seed, 0, shape_.blocks_per_clip * kBlockLatents,
                                           shape_.latent_rows, shape_.latent_columns));
    }
    CheckpointSource source = checkpoint_.dit_source(device_);
    DitGlobalWeights globals = take_dit_globals(source, checkpoint_.dit_config);
    std::unique_ptr<LayerProvider> layers = make_layers(source, plan);
    DenoiseStage stage(checkpoint_.dit_config, std::move(globals), std::move(layers), plan, shape_, schedule,
                       conditions_.text, {job_.cond_distance, *job_.base_seed});
    IdlePass idle = sharded_ ? IdlePass([this] { sharded_->pass_without_compute(); }) : IdlePass();
    stage_.emplace(std::move(stage), layout_, rank(), schedule_shape_, BlockFeed(job_, conditions_, shape_),
                   conditions_, PoseLatents(job_, checkpoint_, inputs_, device_), *pipeline_, finished_sink(),
                   std::move(idle), trace_);
    if (!job_.trace_inputs.empty()) {
      stage_->set_inputs(TraceInputs(job_.trace_inputs));
    }
  }

  std::unique_ptr<LayerProvider> make_layers(CheckpointSource& source, const StagePlan& plan) {
    if (shard_group_) {
      auto layers = std::make_unique<ShardedLayers>(source, checkpoint_.dit_config, std::move(shard_group_));
      sharded_ = layers.get();
      return layers;
    }
    return std::make_unique<RangeOfLayers>(source, checkpoint_.dit_config, plan.layers.begin,
                                           plan.layers.end);
  }

  /// Where the last stage's blocks go: to the decoder of this rank (on a GPU to its thread and stream; a
  /// trace takes one thread), or to the decode rank.
  LatentSink finished_sink() {
    if (decoder_ && device_.is_cuda() && !trace_.active()) {
      worker_.emplace(*decoder_, device_, job_.threads);
      return [this](const BlockItem&, const at::Tensor& latents) { worker_->take(latents); };
    }
    if (decoder_) {
      return [this](const BlockItem&, const at::Tensor& latents) { decoder_->take(latents); };
    }
    return [this](const BlockItem&, const at::Tensor& latents) {
      // One block may wait at the decoder; a second one holds the last stage up: memory stays bounded.
      if (handed_over_) {
        handed_over_->finish();
      }
      handed_over_tensor_ = latents.contiguous();
      handed_over_ = pipeline_->launch_send(handed_over_tensor_, layout_.decoder_rank);
    };
  }

  /// What a rank does without asking the others: its error is its own, and names it.
  template <typename Work>
  void alone(const Work& work) const {
    const World& world = mpi_.world();
    const std::string who =
        world.size == 1 ? "" : "rank " + std::to_string(world.rank) + " (" + world.host + "): ";
    try {
      work();
    } catch (const Error& error) {
      throw RankFailure(error.code(), who + error.what());
    } catch (const c10::Error& error) {
      throw RankFailure(ExitCode::kInternal, who + error.what_without_backtrace());
    } catch (const std::exception& error) {
      throw RankFailure(ExitCode::kInternal, who + error.what());
    }
  }

  void render_blocks() {
    start_ = Clock::now();
    if (stage_) {
      stage_->run();
      if (handed_over_) {
        handed_over_->finish();
      }
      if (worker_) {
        worker_->finish();
      }
    } else {
      const at::Tensor like =
          at::empty({kLatentChannels, kBlockLatents, shape_.latent_rows, shape_.latent_columns},
                    at::TensorOptions().device(device_.device));
      decoder_->receive_all(*pipeline_, layout_.stages.back().rank, like);
    }
  }

  RenderResult finish() {
    phase("join");
    coordinate(*control_, [&] {
      if (video_) {
        video_->join(video_path());
      }
      trace_.close();
    });
    RenderResult result{video_path(),
                        timeline_.video_frames,
                        timeline_.clips,
                        inputs_.size.width,
                        inputs_.size.height,
                        device_.name,
                        peak_device_bytes(device_),
                        layout_json(layout_),
                        {}};
    result.ranks = mpi_.gather_strings(own_report());
    return result;
  }

  std::string own_report() const {
    const StageCounters counters = stage_ ? stage_->counters() : StageCounters{};
    const ShardCounters shards = sharded_ ? sharded_->counters() : ShardCounters{};
    const auto field = [](const char* name, int64_t value) {
      return "\"" + std::string(name) + "\": " + std::to_string(value);
    };
    return "{" + field("rank", rank()) + ", " + field("condition_passes", counters.condition_passes) + ", " +
           field("block_passes", counters.block_passes) + ", " + field("idle_passes", counters.idle_passes) +
           ", " + field("ticks", counters.ticks) + ", " + field("layers_gathered", shards.layers_gathered) +
           ", " + field("bytes_gathered", shards.bytes_gathered) + ", " +
           field("frames_written", video_ ? video_->frames_written() : 0) + ", " +
           field("peak_resident_bytes", peak_resident_bytes()) + ", " +
           field("peak_device_bytes", peak_device_bytes(device_)) + "}";
  }

  void phase(const std::string& name) {
    if (is_root()) {
      progress_({name});
    }
  }

  void report(int64_t clip, bool closed) {
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    if (closed) {
      log_->add({clip, video_->frames_written() - frames_before_, elapsed.count(), resident_bytes(),
                 peak_resident_bytes(), peak_device_bytes(device_)});
      frames_before_ = video_->frames_written();
    }
    progress_({"render", clip + (closed ? 1 : 0), timeline_.clips, video_->frames_written(),
               timeline_.video_frames, elapsed.count()});
  }

  int rank() const { return mpi_.world().rank; }
  bool is_root() const { return rank() == 0; }
  std::filesystem::path sound_track() const { return job_.run_dir / "sound.aac"; }
  std::filesystem::path video_path() const {
    return job_.save_file.empty() ? job_.run_dir / "video.mp4" : job_.save_file;
  }
  /// Rank 0's has the given name; the others' have the rank behind it.
  std::filesystem::path trace_file() const {
    return is_root() ? job_.trace
                     : std::filesystem::path(job_.trace.string() + ".rank" + std::to_string(rank()));
  }

  const MpiSession& mpi_;
  std::unique_ptr<Communicator> control_;
  RenderJob job_;
  const ProgressSink& progress_;
  const NoteSink& note_;

  ComputeDevice device_;
  Checkpoint checkpoint_;
  RankLayout layout_;
  Inputs inputs_;
  StageShape shape_;
  std::optional<RunDirectory> run_;
  Trace trace_;
  Conditions conditions_;
  Timeline timeline_;
  ScheduleShape schedule_shape_;

  std::unique_ptr<Communicator> pipeline_, shard_group_;
  std::optional<VideoAssembler> video_;
  std::optional<ClipLog> log_;
  std::optional<DecodeRunner> decoder_;
  std::optional<StageRunner> stage_;
  std::optional<DecodeWorker> worker_;  // uses the decoder: gone before it
  ShardedLayers* sharded_ = nullptr;    // owned by the stage
  std::unique_ptr<Transfer> handed_over_;
  at::Tensor handed_over_tensor_;
  int64_t frames_before_ = 0;
  Clock::time_point start_;
};

}  // namespace

RenderResult render(const RenderJob& job, const MpiSession& mpi, const ProgressSink& progress,
                    const NoteSink& note) {
  const c10::InferenceMode inference;
  return RankRender(job, mpi, progress, note).run();
}

}  // namespace latentcast
