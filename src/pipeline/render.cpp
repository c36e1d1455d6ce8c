#include "latentcast/pipeline/render.h"

#include <chrono>
#include <optional>

#include "rank_setup.h"
#include "rank_work.h"
#include "shared_values.h"
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "latentcast/comm/coordinate.h"
#include "latentcast/error.h"
#include "latentcast/media/sound_track.h"
#include "latentcast/pipeline/layout_request.h"
#include "latentcast/pipeline/run_directory.h"
#include "latentcast/telemetry/clip_log.h"
#include "latentcast/telemetry/memory.h"

namespace latentcast {
namespace {

using Clock = std::chrono::steady_clock;

/// A render on one rank. Everything collective is called by all ranks in the same order.
class RankRender {
 public:
  RankRender(const RenderJob& job, const MpiSession& mpi, const ProgressSink& progress, const NoteSink& note)
      : mpi_(mpi),
        control_(mpi.cpu_communicator(std::chrono::seconds(job.timeout))),
        progress_(progress),
        note_(note),
        setup_(set_up_rank(job, mpi, *control_)) {}

  RenderResult run() {
    open_folder();
    show_layout();
    encode();
    phase("weights");
    open_video();
    work_.emplace(
        setup_, plan_, conditions_, mpi_, video_ ? &*video_ : nullptr,
        [this](int64_t clip, bool closed) { report(clip, closed); }, trace_);
    start_ = Clock::now();
    work_->run();
    return finish();
  }

 private:
  void open_folder() {
    coordinate(*control_, [&] {
      if (setup_.is_root()) {
        const RunDirectory folder(setup_.job);
        write_text_file(folder.path() / "layout.json", layout_json(setup_.layout) + "\n");
      }
    });
    coordinate(*control_, [&] {
      if (!setup_.job.trace.empty()) {
        trace_ = Trace(trace_file(), setup_.job.trace_blocks);
      }
    });
  }

  void show_layout() {
    const std::vector<std::string> hosts = mpi_.gather_strings(mpi_.world().host);
    const std::vector<std::string> devices = mpi_.gather_strings(setup_.device.name);
    if (setup_.is_root()) {
      for (const std::string& line : layout_notices(setup_.job, mpi_.world().size)) {
        note_(line);
      }
    }
    if (setup_.is_root() && mpi_.world().size > 1) {
      note_("layout:\n" + layout_table(setup_.layout, hosts, devices));
    }
  }

  /// The encoders run on rank 0; the others get what they gave.
  void encode() {
    phase("conditions");
    const RenderJob& job = setup_.job;
    Conditions own;
    coordinate(*control_, [&] {
      if (setup_.is_root()) {
        own = encode_conditions(job, setup_.checkpoint, setup_.inputs, setup_.device, trace_, activity());
        activity().begin("encoding the sound track");
        const Timeline timeline = make_timeline(job, own.clips, setup_.inputs.sound_seconds);
        encode_sound_track(job.audio, sound_track(), static_cast<double>(timeline.video_frames) / 25.0,
                           [this] { activity().advance(); });
      }
    });
    conditions_ = share_conditions(std::move(own), *control_);
    plan_.timeline = make_timeline(job, conditions_.clips, setup_.inputs.sound_seconds);
    plan_.schedule = {plan_.timeline.clips, setup_.shape.blocks_per_clip, job.sample_steps,
                      blocks_in_last_clip()};
  }

  /// Blocks after the sound's end are only computed for a trace.
  int64_t blocks_in_last_clip() const {
    const Timeline& timeline = plan_.timeline;
    int64_t blocks = timeline.blocks_per_clip();
    while (setup_.job.trace.empty() && blocks > 1 && !timeline.is_seen(timeline.clips - 1, blocks - 1)) {
      --blocks;
    }
    return blocks;
  }

  void open_video() {
    coordinate(*control_, [&] {
      if (!setup_.layout.decodes(setup_.rank)) {
        return;
      }
      VideoSettings settings{setup_.inputs.size.width, setup_.inputs.size.height};
      settings.crf = setup_.job.crf;
      settings.threads = setup_.job.threads;
      video_.emplace(setup_.job.run_dir, settings, plan_.timeline, sound_track());
      log_.emplace(setup_.job.run_dir / "telemetry.csv");
    });
  }

  RenderResult finish() {
    phase("join");
    coordinate(*control_, [&] {
      if (video_) {
        activity().begin("joining the segments");
        video_->join(video_path(), [this] { activity().advance(); });
      }
      trace_.close();
    });
    RenderResult result{video_path(),
                        plan_.timeline.video_frames,
                        plan_.timeline.clips,
                        setup_.inputs.size.width,
                        setup_.inputs.size.height,
                        setup_.device.name,
                        peak_device_bytes(setup_.device),
                        layout_json(setup_.layout),
                        {}};
    result.ranks = mpi_.gather_strings(work_->report());
    return result;
  }

  void phase(const std::string& name) {
    if (setup_.is_root()) {
      progress_({name});
    }
  }

  void report(int64_t clip, bool closed) {
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    if (closed) {
      log_->add({clip, video_->frames_written() - frames_before_, elapsed.count(), resident_bytes(),
                 peak_resident_bytes(), peak_device_bytes(setup_.device)});
      frames_before_ = video_->frames_written();
    }
    progress_({"render", clip + (closed ? 1 : 0), plan_.timeline.clips, video_->frames_written(),
               plan_.timeline.video_frames, elapsed.count()});
  }

  /// What the main thread does.
  Activity& activity() const { return mpi_.activity().main; }
  std::filesystem::path sound_track() const { return setup_.job.run_dir / "sound.aac"; }
  std::filesystem::path video_path() const {
    return setup_.job.save_file.empty() ? setup_.job.run_dir / "video.mp4" : setup_.job.save_file;
  }
  /// Rank 0's has the given name; the others' have the rank behind it.
  std::filesystem::path trace_file() const {
    const std::string& name = setup_.job.trace.string();
    return setup_.is_root() ? name : name + ".rank" + std::to_string(setup_.rank);
  }

  const MpiSession& mpi_;
  std::unique_ptr<Communicator> control_;
  const ProgressSink& progress_;
  const NoteSink& note_;
  RankSetup setup_;
  Trace trace_;
  Conditions conditions_;
  RenderPlan plan_;
  std::optional<VideoAssembler> video_;
  std::optional<ClipLog> log_;
  std::optional<RankWork> work_;
  int64_t frames_before_ = 0;
  Clock::time_point start_;
};

}  // namespace

RenderResult render(const RenderJob& job, const MpiSession& mpi, const ProgressSink& progress,
                    const NoteSink& note) {
  const c10::InferenceMode inference;
  RankRender rank(job, mpi, progress, note);
  RenderResult result;
  // An error of one rank's own ends all of them before `rank` is destroyed, which might wait for the others.
  run_alone(mpi, [&] { result = rank.run(); });
  return result;
}

}  // namespace latentcast
