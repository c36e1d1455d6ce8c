#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench_layouts.h"
#include "bench_model.h"
#include "bench_options.h"
#include "commands.h"
#include "pipeline/rank_restore.h"
#include "pipeline/rank_saver.h"
#include "random_source.h"
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fcntl.h>
#include <unistd.h>

#include "latentcast/error.h"
#include "latentcast/model/vae/latent_scale.h"
#include "latentcast/progress/durable_file.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr double kGib = 1024.0 * 1024 * 1024;
constexpr int64_t kFirstPosition = 8;

struct CheckpointJob : BenchJob {
  std::string run_dir;
  int timesteps = 4;
  double host_gib = 0;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// One layer in the place of all: what is measured is the state, not the weights.
class OneLayerForAll : public LayerProvider {
 public:
  OneLayerForAll(TensorSource& source, const DitConfig& config) : layer_(source, config, 0, 1) {}
  const DitLayerWeights& acquire(int64_t) override { return layer_.acquire(0); }

 private:
  RangeOfLayers layer_;
};

/// One rank's state at a cut, of a model's shapes, and what a render would do with it.
class CheckpointBench {
 public:
  CheckpointBench(const CheckpointJob& job, const ModelShape& model, const MpiSession& mpi)
      : job_(job), model_(model), mpi_(mpi) {
    setup_.device = select_device(job.device, job.dtype, job.threads);
    setup_.job.run_dir = job.run_dir;
    setup_.job.sample_steps = job.timesteps;
    setup_.checkpoint.dit_config = model.dit;
    setup_.shape = {job.height / 8, job.width / 8, 4};
    setup_.layout = lay_out_bench(parse_bench_layout("one", 1), {}, job.timesteps, model.dit.layers);
    setup_.activity = &mpi.activity();
    make_stage();
    make_decoder();
  }

  Json run() {
    Json report = {{"bench", "checkpoint"}, {"timesteps", job_.timesteps}};
    describe(report, job_, setup_.device);
    report["cache_bytes_per_timestep"] = cache_bytes() / job_.timesteps;
    report["decoder_bytes"] = decoder_bytes();
    report["step_alone"] = summary(measure(setup_.device, 3, [this] { step(); }));
    write_report(report, job_);
    for (const char* strength : {"light", "exact"}) {
      // What is measured stays, whatever becomes of the rest.
      measure_strength(strength, [&](const Json& so_far) {
        report[strength] = so_far;
        write_report(report, job_);
        std::cerr << strength << " " << so_far.dump() << std::endl;
      });
    }
    fs::remove_all(RunPaths(setup_.job).checkpoints());
    return report;
  }

 private:
  at::TensorOptions options() const {
    return at::TensorOptions().dtype(setup_.device.dtype).device(setup_.device.device);
  }
  at::TensorOptions plain() const { return at::TensorOptions().device(setup_.device.device); }
  at::Tensor random_latents(int64_t count) const {
    return at::randn({kLatentChannels, count, setup_.shape.latent_rows, setup_.shape.latent_columns},
                     plain());
  }

  void make_stage() {
    RandomSource source(options());
    DitGlobalWeights globals = take_dit_globals(source, model_.dit);
    auto layers = std::make_unique<OneLayerForAll>(source, model_.dit);
    stage_.emplace(model_.dit, std::move(globals), std::move(layers), setup_.layout.stages.front(),
                   setup_.shape, make_euler_schedule(job_.timesteps, 3.0),
                   at::randn({64, model_.dit.text_dim}, plain()), ConditionDistance{30, 0});
    const at::Tensor motion = random_latents(19);
    stage_->run_condition(stage_->begin_condition(motion.narrow(1, 0, 1), motion), 1, off_);
    for (const CachedRows& cached : stage_->caches_after_clip()) {
      for (const at::Tensor& part : cached.parts) part.normal_();
    }
    stage_->restored();
    item_.clip = 1;
    item_.block = 2;
    item_.number = 6;
    item_.audio = at::randn({1, kBlockFrames, model_.dit.audio_dim}, plain());
    latents_ = random_latents(kBlockLatents);
    const int64_t blocks = clips_replayed(setup_.shape.blocks_per_clip) * setup_.shape.blocks_per_clip;
    history_ = LatentHistory(blocks);
    for (int64_t t = 0; t < job_.timesteps; ++t) {
      for (int64_t block = 0; block < blocks; ++block) {
        history_.keep({t, kFirstPosition * setup_.shape.blocks_per_clip - blocks + block,
                       random_latents(kBlockLatents)});
      }
    }
  }

  void make_decoder() {
    RandomSource source(options());
    list_vae_decoder(source, model_.vae_width);
    decoder_.emplace(std::make_shared<const VaeDecoder>(source), DecodeMode::kOnline, random_latents(19),
                     off_);
    decoder_->take(latents_, true, [](const at::Tensor&) {});
  }

  int64_t cache_bytes() const {
    int64_t bytes = 0;
    for (const CachedRows& cached : stage_->caches_after_clip()) {
      for (const at::Tensor& part : cached.parts) bytes += static_cast<int64_t>(part.nbytes());
    }
    return bytes;
  }

  int64_t decoder_bytes() const {
    int64_t bytes = 0;
    for (const at::Tensor& cache : decoder_->state().caches) {
      bytes += cache.defined() ? static_cast<int64_t>(cache.nbytes()) : 0;
    }
    return bytes;
  }

  /// A block's step, as a render has them under way when it comes to a cut.
  void step() {
    const at::Tensor x = stage_->run_layers(item_, 0, stage_->begin_step(latents_, latents_));
    stage_->advance(0, latents_, stage_->end_step(0, x));
  }

  void measure_strength(const std::string& strength, const std::function<void(const Json&)>& tell) {
    setup_.job.checkpoint = strength;
    RankSaver saver(setup_,
                    {"bench", 0, [](const std::string& note) { std::cerr << note << std::endl; },
                     static_cast<int64_t>(job_.host_gib * kGib)},
                    mpi_.cpu_communicator(std::chrono::seconds(300)));
    Json json;
    if (strength == "exact") {
      json["pinned"] = prepare(saver);
      tell(json);
    }
    std::vector<double> drains, stalls, on_disk_beside, beside;
    for (int i = 0; i < job_.repeats; ++i) {
      fs::remove_all(folder());  // three of them are more than some disks have room for
      step();
      const Clock::time_point cut = Clock::now();
      synchronize(setup_.device);
      drains.push_back(seconds_since(cut) * 1000);
      const Clock::time_point drained = Clock::now();
      saver.save(kFirstPosition, {&*stage_, &history_, latents_.narrow(1, 0, 1), &*decoder_, nullptr});
      stalls.push_back(seconds_since(drained) * 1000);
      json["drain"] = sorted_summary(drains);
      json["first_stall_ms"] = stalls.front();
      json["stall"] = sorted_summary(stalls);
      tell(json);
      // The last one has the machine for itself, as at a stop.
      const bool alone = i + 1 == job_.repeats;
      for (; saver.busy() && !alone; saver.poll()) {
        const Clock::time_point start = Clock::now();
        step();
        synchronize(setup_.device);
        beside.push_back(seconds_since(start) * 1000);
      }
      saver.finish();
      if (alone) {
        json["on_disk_ms"] = seconds_since(drained) * 1000;
      } else {
        on_disk_beside.push_back(seconds_since(drained) * 1000);
        json["on_disk_beside_steps"] = sorted_summary(on_disk_beside);
        json["step_beside"] = sorted_summary(beside);
      }
      tell(json);
    }
    json["bytes"] = checkpoint_size();
    json["continue"] = measure_reading(strength);
    tell(json);
  }

  static Json sorted_summary(std::vector<double> times) {
    std::sort(times.begin(), times.end());
    return summary(times);
  }

  /// On its thread, beside steps: does pinning hold them up?
  Json prepare(RankSaver& saver) {
    std::vector<double> beside;
    const Clock::time_point start = Clock::now();
    saver.prepare(*stage_);
    for (int i = 0; i < 3; ++i) {
      const Clock::time_point begin = Clock::now();
      step();
      synchronize(setup_.device);
      beside.push_back(seconds_since(begin) * 1000);
    }
    const int64_t bytes = saver.prepared();
    const double seconds = seconds_since(start);
    return {{"bytes", bytes}, {"seconds", seconds}, {"step_beside", sorted_summary(beside)}};
  }

  fs::path folder() const { return RunPaths(setup_.job).checkpoint(kFirstPosition); }

  int64_t checkpoint_size() const {
    int64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(folder())) {
      bytes += static_cast<int64_t>(entry.file_size());
    }
    return bytes;
  }

  /// So that the disk is read, as on another day.
  void forget_pages() const {
    for (const auto& entry : fs::directory_iterator(folder())) {
      const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
      ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
      ::close(file);
    }
  }

  Json measure_reading(const std::string& strength) {
    forget_pages();
    Json json;
    Clock::time_point start = Clock::now();
    const CheckpointReader reader(folder());
    reader.verify();
    json["verify_s"] = seconds_since(start);
    start = Clock::now();
    if (strength == "light") {
      read_replay(reader, *stage_, setup_.device);
      synchronize(setup_.device);
      json["restore_s"] = seconds_since(start);
      return json;
    }
    const at::Tensor before = fingerprints();
    for (const CachedRows& cached : stage_->caches_after_clip()) {
      for (const at::Tensor& part : cached.parts) part.zero_();
    }
    start = Clock::now();
    restore_caches(reader, *stage_);
    restore_decoder(reader, *decoder_, setup_.device);
    synchronize(setup_.device);
    json["restore_s"] = seconds_since(start);
    json["came_back"] = at::equal(before, fingerprints());
    return json;
  }

  /// Of each tensor: the sum of its bits as integers.
  at::Tensor fingerprints() const {
    const at::ScalarType bits = setup_.device.dtype == at::kFloat ? at::kInt : at::kShort;
    std::vector<at::Tensor> sums;
    for (const CachedRows& cached : stage_->caches_after_clip()) {
      for (const at::Tensor& part : cached.parts) sums.push_back(part.view(bits).sum(at::kLong));
    }
    for (const at::Tensor& cache : decoder_->state().caches) {
      sums.push_back(cache.view(bits).sum(at::kLong));
    }
    return at::stack(sums).cpu();
  }

  const CheckpointJob& job_;
  const ModelShape& model_;
  const MpiSession& mpi_;
  RankSetup setup_;
  Trace off_;
  std::optional<DenoiseStage> stage_;
  std::optional<DecodeStage> decoder_;
  LatentHistory history_;
  BlockItem item_;
  at::Tensor latents_;
};

}  // namespace

int run_bench_checkpoint(int argc, const char* const* argv, const MpiSession& mpi) {
  CheckpointJob job;
  job.repeats = 2;
  CLI::App app("Measures what a checkpoint costs: the stall, the way to the disk, and the way back.");
  app.name("latentcast bench checkpoint");
  app.add_option("run_dir", job.run_dir, "An empty folder on the disk that is to be measured")->required();
  app.add_option("--timesteps", job.timesteps, "whose caches this rank has")
      ->check(CLI::Range(1, 8))
      ->capture_default_str();
  app.add_option("--host_gib", job.host_gib, "host memory for copies; 0: as in a render")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  add_bench_options(app, job);
  if (!parse_bench(app, argc, argv)) {
    return 0;
  }
  parse_bench_size(job);
  const ModelShape model = model_shape(job.model);
  make_folders(job.run_dir);
  if (!fs::is_empty(job.run_dir)) {
    throw InputError("bench checkpoint: " + job.run_dir + " isn't empty; give a folder of its own");
  }
  const c10::InferenceMode inference;
  const Json report = CheckpointBench(job, model, mpi).run();
  std::cout << report.dump(2) << std::endl;
  return 0;
}

}  // namespace latentcast
