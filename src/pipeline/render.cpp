#include "latentcast/pipeline/render.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "kept_conditions.h"
#include "load_progress.h"
#include "rank_budget.h"
#include "rank_saver.h"
#include "rank_setup.h"
#include "rank_work.h"
#include "run_start.h"
#include "save_policy.h"
#include "shared_values.h"
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "latentcast/comm/coordinate.h"
#include "latentcast/error.h"
#include "latentcast/media/sound_track.h"
#include "latentcast/model/vae/decoder.h"
#include "latentcast/model/vae/latent_scale.h"
#include "latentcast/pipeline/layout_request.h"
#include "latentcast/progress/durable_file.h"
#include "latentcast/progress/run_directory.h"
#include "latentcast/progress/sealed_file.h"
#include "latentcast/progress/stop_requests.h"
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
        setup_(set_up_rank(job, mpi, *control_)),
        paths_(setup_.job),
        budget_(setup_) {}

  RenderResult run() {
    return budget_.explaining([&] { return run_all(); });
  }

 private:
  RenderResult run_all() {
    start_render_at_ = Clock::now();
    begin_ = start_run(setup_, *control_, folder_, note_);
    if (begin_.state == RunState::kFinished) {
      return result(RenderEnd::kWasFinished);
    }
    prepare_files();
    show_layout();
    encode();
    phase("weights");
    open_video();
    bool done = true;
    if (begin_.state != RunState::kRendered) {
      done = compute();
    }
    return finish(done);
  }

  void prepare_files() {
    coordinate(*control_, [&] {
      if (setup_.is_root()) {
        write_text_file(paths_.layout(), layout_json(setup_.layout) + "\n");
        checkpoint_bytes_ = checkpoint_bytes();
        if (begin_.state != RunState::kRendered) {
          check_room(paths_, room_for_run(), "two checkpoints, one that is being written and some segments");
        }
      }
      if (!setup_.job.trace.empty()) {
        trace_ = Trace(trace_file(), setup_.job.trace_blocks);
      }
    });
    if (setup_.is_root() && begin_.checkpoint) {
      note_("continues after clip " + std::to_string(begin_.first_clip() - 1) + ", from " +
            begin_.checkpoint->folder().string() + (begin_.is_light() ? light_words() : ""));
    }
  }

  std::string light_words() const {
    return ", a light one: clips from " + std::to_string(begin_.first_done()) +
           " on are computed again for the caches; what follows joins on without a seam, but not to the same "
           "bytes, and takes the place of segments from clip " +
           std::to_string(begin_.first_clip()) + " on";
  }

  /// Of a checkpoint.
  int64_t checkpoint_bytes() const {
    if (setup_.job.checkpoint == "light") {
      const StageShape& shape = setup_.shape;
      const int64_t block = kLatentChannels * kBlockLatents * shape.latent_rows * shape.latent_columns;
      return block * static_cast<int64_t>(sizeof(float)) * setup_.job.sample_steps * shape.blocks_per_clip *
             clips_replayed(shape.blocks_per_clip);
    }
    const DitConfig& config = setup_.checkpoint.dit_config;
    const StageShape& shape = setup_.shape;
    const int64_t tokens = shape.block_tokens() * (shape.blocks_per_clip - 1);
    const int64_t caches = 2 * tokens * config.dim * config.layers * setup_.job.sample_steps;
    const int64_t decoder = decoder_state_elements(setup_.checkpoint.vae_source(setup_.device),
                                                   shape.latent_rows, shape.latent_columns);
    return (caches + decoder) * static_cast<int64_t>(c10::elementSize(setup_.device.dtype));
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
    if (setup_.is_root() && setup_.job.vram) note_(budget_.plan_text());
    if (const std::string caches = own_caches_text(); setup_.is_root() && !caches.empty()) {
      note_(caches + (mpi_.world().size > 1 ? ", on rank 0" : ""));
    }
  }

  std::string own_caches_text() const {
    const int stage = setup_.layout.stage_of(setup_.rank);
    if (stage < 0) return {};
    return caches_text(cache_shape(setup_.checkpoint.dit_config,
                                   setup_.layout.stages[static_cast<size_t>(stage)], setup_.shape),
                       cache_means(setup_.job), static_cast<int64_t>(c10::elementSize(setup_.device.dtype)));
  }

  /// The encoders run on rank 0, once a run; the others get what they gave.
  void encode() {
    phase("conditions");
    const RenderJob& job = setup_.job;
    Conditions own;
    coordinate(*control_, [&] {
      if (!setup_.is_root()) {
        return;
      }
      std::optional<Conditions> kept = load_conditions(paths_, begin_.identity, note_);
      if (kept && job.trace.empty()) {
        own = std::move(*kept);
      } else {
        own = encode_conditions(job, setup_.checkpoint, setup_.inputs, setup_.device, trace_, activity());
        keep_conditions(paths_, begin_.identity, own, job.infer_frames);
      }
      make_sound_track();
    });
    conditions_ = share_conditions(std::move(own), *control_);
    plan_.timeline = make_timeline(job, conditions_.clips, setup_.inputs.sound_seconds);
    plan_.schedule = {plan_.timeline.clips, setup_.shape.blocks_per_clip, job.sample_steps,
                      blocks_in_last_clip(), begin_.first_done()};
  }

  /// Once a run; one that was damaged since comes out the same.
  void make_sound_track() {
    const std::filesystem::path file = paths_.sound_track();
    const std::string damage = seal_damage(file);
    if (damage.empty()) {
      return;
    }
    if (std::filesystem::exists(file)) {
      note_(file.string() + " " + damage + ": it is encoded again");
    }
    activity().begin("encoding the sound track");
    encode_sound_track(setup_.job.audio, file, 0, [this] { activity().advance(); });
    seal_file(file);
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
      VideoAssembler::Start start;
      if (begin_.checkpoint) {
        start = {begin_.first_clip(), begin_.checkpoint->manifest().segments,
                 other_device() || begin_.is_light()};
      }
      video_.emplace(paths_, settings, plan_.timeline, start, note_);
      log_.emplace(paths_.telemetry(), /*append=*/begin_.first_clip() > 0);
      frames_before_ = video_->frames_written();
    });
  }

  /// Another GPU model may round differently: equal bytes aren't promised there.
  bool other_device() const {
    const std::string& before = begin_.checkpoint->manifest().device;
    if (before == setup_.device.name) {
      return false;
    }
    note_("the checkpoint was made on " + before + ", this is " + setup_.device.name +
          ": clips that come out different are replaced");
    return true;
  }

  /// Whether all blocks are done; else the render was stopped.
  bool compute() {
    const auto deadline = std::chrono::seconds(setup_.job.timeout);
    saver_.emplace(setup_, RankSaver::Settings{begin_.identity, begin_.first_done(), note_},
                   mpi_.cpu_communicator(deadline));
    make_cuts(mpi_.cpu_communicator(deadline));
    leave_if_stopped();  // loading the weights may take minutes
    load();
    if (const std::string gathers = work_->gathers_text(); setup_.is_root() && !gathers.empty()) {
      note_(gathers);
    }
    if (const std::string sends = work_->sends_text(); setup_.is_root() && !sends.empty()) {
      note_(sends);
    }
    if (begin_.checkpoint) {
      activity().begin("reading the checkpoint");
      work_->restore(*begin_.checkpoint);
    }
    if (work_->stage() != nullptr) {
      saver_->prepare(*work_->stage(), work_->host_pieces());
    }
    leave_if_stopped();
    release_freed_memory();
    release_cached_memory(setup_.device);  // what only loading needed
    start_ = Clock::now();
    return work_->run(*cuts_, *saver_);
  }

  /// For two checkpoints, one that is being written, and segments until the disk is looked at again.
  int64_t room_for_run() const { return 3 * checkpoint_bytes_ + checkpoint_bytes_ / 4; }

  /// The disk is low while a last checkpoint still fits. One that is being written has its room.
  std::optional<StopRequest> stop_request() {
    if (setup_.is_root()) {
      const int64_t last = checkpoint_bytes_ + checkpoint_bytes_ / 4;
      requests_->set_bytes_needed(
          saver_->busy() ? 0 : std::max(last, room_for_run() - bytes_of_checkpoints(paths_)));
    }
    return requests_->poll();
  }

  void load() {
    LoadProgress loading(progress_, bytes_to_load(setup_));
    const CheckpointSource::Observer observer = setup_.checkpoint.on_read;
    if (setup_.is_root()) {
      setup_.checkpoint.on_read = [&](const std::string& tensor, int64_t bytes) {
        observer(tensor, bytes);
        loading.begin(bytes);
      };
    }
    work_.emplace(
        setup_, plan_, conditions_, mpi_, video_ ? &*video_ : nullptr,
        [this](int64_t clip, bool closed) { report(clip, closed); }, trace_);
    setup_.checkpoint.on_read = observer;
    if (setup_.is_root()) {
      synchronize(setup_.device);
      loading.finish();
    }
  }

  void make_cuts(std::unique_ptr<Communicator> links) {
    requests_.emplace(
        StopRequests::Settings{paths_.stop_file(), setup_.job.max_hours, start_render_at_, paths_.root});
    const auto decide = [this, policy = SavePolicy(setup_.job, begin_.first_clip())](int64_t clip,
                                                                                     bool wished) mutable {
      stop_ = stop_request();
      return policy.after(clip, stop_ || wished, saver_->busy());
    };
    const auto wish = [this] { return stop_request().has_value(); };
    cuts_.emplace(std::move(links), decide, wish);
  }

  /// A stop before the first block: there is nothing new to keep.
  void leave_if_stopped() {
    coordinate(*control_, [&] {
      if (const auto request = stop_request()) {
        const bool disk_is_low = request->reason == StopReason::kLowDisk;
        throw Error(disk_is_low ? ExitCode::kOutput : ExitCode::kInternal,
                    "stopped by " + request->text + " before the first clip was begun; run again to " +
                        (begin_.checkpoint ? "continue" : "start"));
      }
    });
  }

  RenderResult finish(bool done) {
    if (done) {
      phase("join");
    }
    coordinate(*control_, [&] {
      if (video_ && done) {
        activity().begin("joining the segments");
        video_->join([this] { activity().advance(); });
      }
      trace_.close();
    });
    RenderResult ended = result(done ? RenderEnd::kDone : RenderEnd::kStopped);
    ended.ranks = mpi_.gather_strings(work_ ? budget_.with_figures(work_->report()) : "{}");
    if (!done) {
      ended.stop_reason = stop_ ? stop_->text : "the wish of another rank";
      ended.disk_is_low =
          std::stoi(share_text(std::to_string(stop_ && stop_->reason == StopReason::kLowDisk ? 1 : 0),
                               *control_)) != 0;
    }
    return ended;
  }

  RenderResult result(RenderEnd end) const {
    RenderResult result;
    result.end = end;
    result.video = paths_.video;
    result.frames = plan_.timeline.video_frames;
    result.clips = plan_.timeline.clips;
    result.width = setup_.inputs.size.width;
    result.height = setup_.inputs.size.height;
    result.device = setup_.device.name;
    result.peak_device_bytes = peak_device_bytes(setup_.device);
    result.layout = layout_json(setup_.layout);
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
                 peak_resident_bytes(), peak_device_bytes(setup_.device), budget_.peak_bytes()});
      frames_before_ = video_->frames_written();
    }
    progress_({"render", clip + (closed ? 1 : 0), plan_.timeline.clips, video_->frames_written(),
               plan_.timeline.video_frames, plan_.timeline.clip_begin(begin_.first_clip()), elapsed.count()});
  }

  /// What the main thread does.
  Activity& activity() const { return mpi_.activity().main; }
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
  RunPaths paths_;
  RankBudget budget_;
  std::optional<RunDirectory> folder_;  // on rank 0: the run's lock
  RunStart begin_;
  Trace trace_;
  Conditions conditions_;
  RenderPlan plan_;
  std::optional<VideoAssembler> video_;
  std::optional<ClipLog> log_;
  std::optional<RankSaver> saver_;
  int64_t checkpoint_bytes_ = 0;  ///< on rank 0, which looks after the disk
  std::optional<Cuts> cuts_;
  std::optional<RankWork> work_;
  std::optional<StopRequests> requests_;
  std::optional<StopRequest> stop_;  // why the render stops early, on rank 0
  int64_t frames_before_ = 0;
  Clock::time_point start_, start_render_at_;
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
