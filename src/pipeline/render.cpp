#include "latentcast/pipeline/render.h"

#include <algorithm>
#include <chrono>

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "latentcast/media/sound_track.h"
#include "latentcast/model/sampler/noise.h"
#include "latentcast/model/vae/latent_scale.h"
#include "latentcast/pipeline/assemble.h"
#include "latentcast/pipeline/conditions.h"
#include "latentcast/pipeline/decode.h"
#include "latentcast/pipeline/run_directory.h"
#include "latentcast/pipeline/stage.h"
#include "latentcast/telemetry/clip_log.h"
#include "latentcast/telemetry/memory.h"

namespace latentcast {
namespace {

using Clock = std::chrono::steady_clock;

StageShape make_shape(const RenderJob& job, const Inputs& inputs) {
  return {inputs.latent_rows(), inputs.latent_columns(), job.infer_frames / kBlockFrames};
}

DenoiseStage load_stage(const RenderJob& job, const Checkpoint& checkpoint, const Inputs& inputs,
                        const Conditions& conditions, const EulerSchedule& schedule,
                        const ComputeDevice& device) {
  CheckpointSource source = checkpoint.dit_source(device);
  DitGlobalWeights globals = take_dit_globals(source, checkpoint.dit_config);
  auto layers = std::make_unique<ResidentLayers>(source, checkpoint.dit_config);
  DenoiseStage stage(checkpoint.dit_config, std::move(globals), std::move(layers), make_shape(job, inputs),
                     schedule, 0, schedule.timesteps.size(), conditions.text,
                     {job.cond_distance, *job.base_seed});
  if (!job.trace_inputs.empty()) {
    stage.set_inputs(TraceInputs(job.trace_inputs));
  }
  return stage;
}

std::shared_ptr<const VaeDecoder> load_decoder(const Checkpoint& checkpoint, const ComputeDevice& device) {
  CheckpointSource source = checkpoint.vae_source(device);
  return std::make_shared<const VaeDecoder>(source);
}

/// A block's part of what the whole render knows.
BlockItem make_item(const Conditions& conditions, const at::Tensor& noise, const at::Tensor& pose,
                    int64_t clip, int64_t block, int64_t infer_frames) {
  BlockItem item{clip, block, {}, {}, {}, {}};
  item.latents = noise.narrow(1, block * kBlockLatents, kBlockLatents);
  item.pose = pose.narrow(1, block * kBlockLatents, kBlockLatents);
  item.audio = conditions.audio.narrow(1, clip * infer_frames + block * kBlockFrames, kBlockFrames);
  if (conditions.speaker_mask.defined()) {
    // As the public code: the first latents' mask serves every block.
    item.speaker_mask = conditions.speaker_mask.narrow(1, 0, kBlockLatents);
  }
  return item;
}

/// Frames for the trace: the public numbering starts after the dropped ones.
void trace_frames(Trace& trace, const at::Tensor& frames, int64_t decoded_before) {
  const int64_t skip = std::clamp<int64_t>(kDroppedFrames - decoded_before, 0, frames.size(0));
  const at::Tensor kept = frames.narrow(0, skip, frames.size(0) - skip);
  const int64_t first = decoded_before + skip - kDroppedFrames;
  trace.append("frames", kept);
  trace.append("frame_index", at::arange(first, first + kept.size(0), at::kLong));
  trace.append("frame_mean", kept.to(at::kFloat).mean(at::IntArrayRef({1, 2})));
}

/// The loop over clips and blocks on one rank: every block through all timesteps, then through the decoder.
class OneRankRender {
 public:
  OneRankRender(const RenderJob& job, const Inputs& inputs, const Conditions& conditions,
                const Timeline& timeline, DenoiseStage stage, DecodeStage decoder, PoseLatents pose,
                VideoAssembler& video, Trace& trace, const ProgressSink& progress)
      : job_(job),
        inputs_(inputs),
        conditions_(conditions),
        timeline_(timeline),
        stage_(std::move(stage)),
        decoder_(std::move(decoder)),
        pose_(std::move(pose)),
        video_(video),
        trace_(trace),
        progress_(progress) {}

  void run() {
    start_ = Clock::now();
    for (int64_t clip = 0; clip < timeline_.clips; ++clip) {
      run_clip(clip);
      video_.end_clip();
      report(clip + 1);
    }
  }

 private:
  void run_clip(int64_t clip) {
    const at::Tensor pose = pose_.next_clip(trace_);
    if (clip <= 1) {
      stage_.run_condition(clip == 0 ? conditions_.reference_latents : first_latent_,
                           conditions_.motion_latents, clip, trace_);
    }
    const at::Tensor noise = clip_noise(*job_.base_seed, clip, job_.infer_frames / kFramesPerLatent,
                                        inputs_.latent_rows(), inputs_.latent_columns());
    if (clip == 0) {
      trace_.add("noise_clip0", noise);
    }
    const int64_t blocks = blocks_of(clip);
    for (int64_t block = 0; block < blocks; ++block) {
      run_block(make_item(conditions_, noise, pose, clip, block, job_.infer_frames), block + 1 == blocks);
      report(clip);
    }
  }

  /// Blocks after the sound's end are only computed for a trace.
  int64_t blocks_of(int64_t clip) const {
    int64_t blocks = timeline_.blocks_per_clip();
    while (!trace_.active() && blocks > 1 && !timeline_.is_seen(clip, blocks - 1)) {
      --blocks;
    }
    return blocks;
  }

  void run_block(const BlockItem& item, bool last_of_clip) {
    const at::Tensor latents = stage_.run_block(item, trace_);
    if (item.clip == 0 && item.block == 0) {
      first_latent_ = latents.narrow(1, 0, 1).clone();
    }
    const int64_t number = item.clip * timeline_.blocks_per_clip() + item.block;
    if (trace_.keeps_block(number)) {
      trace_.add("block" + std::to_string(number) + ".latents", latents);
    }
    decoder_.take(latents, last_of_clip, [this](const at::Tensor& frames) {
      if (trace_.active()) {
        trace_frames(trace_, frames, decoded_);
      }
      decoded_ += frames.size(0);
      video_.take(frames);
    });
  }

  void report(int64_t clips_done) const {
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    progress_({"render", clips_done, timeline_.clips, video_.frames_written(), timeline_.video_frames,
               elapsed.count()});
  }

  const RenderJob& job_;
  const Inputs& inputs_;
  const Conditions& conditions_;
  const Timeline& timeline_;
  DenoiseStage stage_;
  DecodeStage decoder_;
  PoseLatents pose_;
  VideoAssembler& video_;
  Trace& trace_;
  const ProgressSink& progress_;
  at::Tensor first_latent_;
  int64_t decoded_ = 0;
  Clock::time_point start_;
};

/// Passes reports on; one that says that a clip is finished also adds a line to the log.
ProgressSink with_log(ClipLog& log, const ComputeDevice& device, const ProgressSink& next) {
  return [&log, device, next, clips = int64_t{0}, frames = int64_t{0}](const RenderProgress& p) mutable {
    if (p.clips_done > clips) {
      log.add({clips, p.frames_done - frames, p.seconds, resident_bytes(), peak_resident_bytes(),
               peak_device_bytes(device)});
      clips = p.clips_done;
      frames = p.frames_done;
    }
    next(p);
  };
}

}  // namespace

RenderResult render(const RenderJob& job, const ProgressSink& progress) {
  const c10::InferenceMode inference;
  const ComputeDevice device = select_device(job.device, job.dtype, job.threads);
  const Checkpoint checkpoint = open_checkpoint(job);
  const Inputs inputs = read_inputs(job, checkpoint);
  const RunDirectory run(job);
  Trace trace = job.trace.empty() ? Trace() : Trace(job.trace, job.trace_blocks);

  progress({"conditions"});
  PoseLatents pose(job, checkpoint, inputs, device);
  const Conditions conditions = encode_conditions(job, checkpoint, inputs, device, trace);
  const Timeline timeline = make_timeline(job, conditions.clips, inputs.sound_seconds);
  encode_sound_track(job.audio, run.sound_track(), static_cast<double>(timeline.video_frames) / 25.0);
  VideoSettings settings{inputs.size.width, inputs.size.height};
  settings.crf = job.crf;
  settings.threads = job.threads;
  VideoAssembler video(run.path(), settings, timeline, run.sound_track());

  progress({"weights"});
  const EulerSchedule schedule = make_euler_schedule(job.sample_steps, job.sample_shift);
  trace.add("sigmas", at::tensor(at::ArrayRef<float>(schedule.sigmas), at::kFloat));
  ClipLog log(run.path() / "telemetry.csv");
  const ProgressSink logged = with_log(log, device, progress);
  OneRankRender loop(
      job, inputs, conditions, timeline, load_stage(job, checkpoint, inputs, conditions, schedule, device),
      DecodeStage(load_decoder(checkpoint, device), job.decode, conditions.motion_latents, trace),
      std::move(pose), video, trace, logged);
  loop.run();

  progress({"join"});
  video.join(run.video());
  trace.close();
  return {run.video(),        video.frames_written(), timeline.clips,           inputs.size.width,
          inputs.size.height, device.name,            peak_device_bytes(device)};
}

}  // namespace latentcast
