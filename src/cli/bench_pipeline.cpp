#include <algorithm>
#include <iostream>

#include "bench_budget.h"
#include "bench_model.h"
#include "bench_options.h"
#include "bench_ratios.h"
#include "bench_run.h"
#include "commands.h"
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include "latentcast/comm/coordinate.h"
#include "latentcast/device/gpu_memory.h"
#include "latentcast/error.h"
#include "latentcast/pipeline/cache_setup.h"
#include "latentcast/pipeline/layer_costs.h"
#include "latentcast/telemetry/memory.h"

namespace latentcast {
namespace {

using Json = nlohmann::ordered_json;

struct PipelineJob : BenchJob {
  std::vector<std::string> layouts;
  int blocks = 6, sample_steps = 4, timeout = 300;
  std::optional<double> vram;
  DecodeMode decode = DecodeMode::kOnline;
};

/// Measures one layout after the other. Everything is called by all ranks in the same order.
class PipelineBench {
 public:
  PipelineBench(const PipelineJob& job, const ModelShape& model, const MpiSession& mpi)
      : job_(job),
        model_(model),
        mpi_(mpi),
        control_(mpi.cpu_communicator(std::chrono::seconds(job.timeout))) {
    device_ = coordinate(*control_, [&] {
      for (const std::string& name : job_.layouts) {
        layouts_.push_back(parse_bench_layout(name, mpi.world().size));
      }
      ComputeDevice device = select_device(job_.device, job_.dtype, job_.threads,
                                           [&](int gpus) { return device_of_rank(mpi_.world(), gpus); });
      check_caches(job_.caches, model_.dit, device);
      return device;
    });
    meter_.emplace(device_);
    pipeline_ = make_pipeline(SendWay::kAuto);
    const auto by_nccl = [](const BenchLayout& layout) { return layout.sends == SendWay::kNccl; };
    if (std::any_of(layouts_.begin(), layouts_.end(), by_nccl)) {
      pipeline_by_nccl_ = make_pipeline(SendWay::kNccl);
    }
  }

  Json run() {
    Json report = {{"bench", "pipeline"}, {"ranks", mpi_.world().size}, {"sample_steps", job_.sample_steps}};
    describe(report, job_, device_);
    report["decode"] = job_.decode == DecodeMode::kBatch ? "batch" : "online";
    report["devices"] = gather_strings(*control_, mpi_.world().host + ": " + device_.name);
    costs_.layers = layer_costs(model_.dit, setup(*pipeline_).shape());
    if (!job_.vram) {
      measure_alone(report);  // which takes what it likes
    }
    // Wishes that can't be met are refused before any of them is measured.
    coordinate(*control_, [&] { lay_out_all(); });
    report["layouts"] = Json::array();
    for (size_t i = 0; i < layouts_.size(); ++i) {
      plan_ = plans_.empty() ? nullptr : &plans_[i];
      report["layouts"].push_back(measure(layouts_[i]));
      if (!job_.vram) {
        report["ratios"] = compare_layouts(measured_);
      }
      if (is_root()) {
        write_report(report, job_);  // what is measured stays, whatever becomes of the next
        say(report["layouts"].back());
      }
    }
    control_->barrier();
    return report;
  }

 private:
  std::unique_ptr<Communicator> make_pipeline(SendWay way) {
    const auto deadline = std::chrono::seconds(job_.timeout);
    return device_.is_cuda() && mpi_.world().size > 1
               ? make_nccl_communicator(mpi_, device_.device.index(), deadline, way)
               : mpi_.cpu_communicator(deadline);
  }

  Communicator& pipeline_of(const BenchLayout& bench) const {
    return bench.sends == SendWay::kNccl ? *pipeline_by_nccl_ : *pipeline_;
  }

  /// S and D, on rank 0 while the others wait.
  void measure_alone(Json& report) {
    Json alone;
    if (is_root()) {
      alone["step"] = bench_dit(job_, model_, device_);
      release_cached_memory(device_);
      alone["decode"] = bench_vae(job_, model_, device_);
      release_cached_memory(device_);
    }
    alone = Json::parse(gather_strings(*control_, alone.dump()).front());
    costs_.step = alone["step"]["step"]["median_ms"].get<double>() / 1000;
    costs_.decode = alone["decode"]["decode"]["median_ms"].get<double>() / 1000;
    report["S_ms"] = costs_.step * 1000;
    report["D_ms"] = costs_.decode * 1000;
    report["alone"] = alone;
  }

  RankLayout lay_out(const BenchLayout& bench) const {
    return lay_out_bench(bench, costs_, job_.sample_steps, model_.dit.layers);
  }

  /// With a budget: as the planner has it, of each layout or of the one that it chooses.
  void lay_out_all() {
    const auto plan = [&](int ranks, const std::optional<BenchLayout>& bench,
                          const std::optional<RankLayout>& layout) {
      plans_.push_back(plan_bench(job_, *job_.vram, job_.sample_steps, job_.decode, model_, device_, ranks,
                                  bench, layout));
    };
    for (const BenchLayout& bench : layouts_) {
      const RankLayout layout = lay_out(bench);
      if (job_.vram) plan(bench.ranks, bench, layout);
    }
    if (job_.vram && layouts_.empty()) plan(mpi_.world().size, std::nullopt, std::nullopt);
    if (!plans_.empty()) layouts_.clear();
    for (const BenchPlan& planned : plans_) layouts_.push_back(planned.layout);
  }

  Json measure(const BenchLayout& bench) {
    const RankLayout layout = lay_out(bench);
    const BenchBlocks blocks = blocks_to_run(layout, job_.blocks);
    MeasuredLayout measured{bench, 0, block_period(layout) * costs_.step};
    Json json = {{"name", bench.name}, {"layout", Json::parse(layout_json(layout))}};
    json["blocks"] = {{"run", blocks.all}, {"measured", blocks.measured()}};
    if (plan_ != nullptr) {
      json["plan"] = plan_->json();
    }
    const BenchSetup setup = this->setup(pipeline_of(bench));
    {
      std::optional<BenchRun> run;
      const std::string failure = make_and_run(setup, bench, layout, blocks, run);
      if (failure.empty()) {
        add_figures(json, measured, layout, blocks, run);
      } else {
        json["error"] = failure;
      }
      synchronize(device_);
      control_->barrier();  // nobody's communicator goes while another still uses it
    }
    release_cached_memory(device_);
    measured_.push_back(measured);
    return json;
  }

  /// Returns what a rank's device had no room for; empty if all went well.
  std::string make_and_run(const BenchSetup& setup, const BenchLayout& bench, const RankLayout& layout,
                           const BenchBlocks& blocks, std::optional<BenchRun>& run) {
    const bool takes_part = rank() < bench.ranks;
    reset_peak_device_bytes(device_);
    meter_->reset_peak();
    if (plan_ != nullptr && takes_part) {
      meter_->keep_within(plan_->budget, plan_->outside[static_cast<size_t>(rank())]);
    }
    std::unique_ptr<Communicator> group;
    if (layout.shard) {
      group = pipeline_of(bench).split(takes_part && layout.stage_of(rank()) >= 0 ? 0 : -1);
    }
    std::string failure = if_it_fits(takes_part, [&] {
      run.emplace(setup, bench, layout, std::move(group));
      run->make(blocks);
    });
    made_ = device_memory(device_);
    outside_made_ = std::max<int64_t>(meter_->now() - made_.reserved - made_.mapped, 0);
    if (failure.empty()) {
      control_->barrier();
      failure = if_it_fits(takes_part, [&] { run->run(); });
    }
    if (!failure.empty()) {
      run.reset();
    }
    meter_->keep_within(-1, 0);
    return failure;
  }

  /// Whether it did is agreed on by all ranks.
  template <typename Work>
  std::string if_it_fits(bool takes_part, const Work& work) {
    std::string own;
    try {
      if (takes_part) {
        work();
      }
    } catch (const c10::OutOfMemoryError& error) {
      own = "rank " + std::to_string(rank()) + ": " + error.what_without_backtrace();
      std::cerr << own << std::endl;  // the others may wait for this rank
    }
    std::string all;
    for (const std::string& failure : gather_strings(*control_, own)) {
      all += failure;
    }
    return all;
  }

  void add_figures(Json& json, MeasuredLayout& measured, const RankLayout& layout, const BenchBlocks& blocks,
                   const std::optional<BenchRun>& run) {
    std::vector<double> ends;
    const std::vector<double> own_ends = run ? run->block_ends() : std::vector<double>();
    for (const std::string& text : gather_strings(*control_, Json(own_ends).dump())) {
      const auto of_rank = Json::parse(text).get<std::vector<double>>();
      ends.insert(ends.end(), of_rank.begin(), of_rank.end());
    }
    if (std::ssize(ends) != blocks.all) {
      throw InternalError("bench: " + std::to_string(ends.size()) + " blocks came out instead of " +
                          std::to_string(blocks.all));
    }
    const double begin = ends[static_cast<size_t>(blocks.first_end)];
    const double end = ends[static_cast<size_t>(blocks.last_end)];
    measured.period = (end - begin) / static_cast<double>(blocks.measured());
    json["period_ms"] = measured.period * 1000;
    json["frames_per_second"] = kBlockFrames / measured.period;
    if (!job_.vram) {
      json["allowed_period_ms"] = measured.allowed * 1000;
      json["of_allowed"] = measured.allowed / measured.period;
    }
    json["first_block_s"] = ends.front();
    const std::vector<double>& work = layout.work;
    json["busiest_rank"] = std::max_element(work.begin(), work.end()) - work.begin();
    if (const Carrier carrier = pipeline_of(measured.bench).carrier(); !carrier.way.empty()) {
      json["sends"] = carrier.way;
      json["nccl"] = carrier.nccl;
    }
    json["per_rank"] = Json::array();
    for (const std::string& text :
         gather_strings(*control_, run ? own_figures(*run, layout, begin, end).dump() : "")) {
      if (!text.empty()) {
        json["per_rank"].push_back(Json::parse(text));
      }
    }
  }

  Json own_figures(const BenchRun& run, const RankLayout& layout, double begin, double end) const {
    const HeldWeights weights = run.weights();
    const auto waited = [&](WaitKind kind) { return run.waited(kind, begin, end) / (end - begin); };
    Json json = {{"rank", rank()},
                 {"work_ms", layout.work[static_cast<size_t>(rank())] * costs_.step * 1000},
                 {"weights_bytes",
                  {{"layers", weights.layers},
                   {"transformer", weights.transformer},
                   {"decoder", weights.decoder},
                   {"all", weights.transformer + weights.decoder}}},
                 {"peak_device_bytes", peak_device_bytes(device_)},
                 {"memory", memory_figures()},
                 {"waited",
                  {{"sends", waited(WaitKind::kSend)},
                   {"receives", waited(WaitKind::kReceive)},
                   {"gathers", waited(WaitKind::kGather)}}}};
    if (const std::string gathers = run.gathers(); !gathers.empty()) {
      json["gathers"] = gathers;
    }
    return json;
  }

  /// Bytes on the device: what is there once all is made, and the most that there was.
  Json memory_figures() const {
    const DeviceMemory most = device_memory(device_);
    return {{"made",
             {{"tensors", made_.tensors},
              {"reserved", made_.reserved},
              {"mapped", made_.mapped},
              {"peak_tensors", made_.peak_tensors}}},
            {"peak",
             {{"tensors", most.peak_tensors},
              {"reserved", most.peak_reserved},
              {"mapped", most.peak_mapped},
              {"nvml", meter_->peak()}}},
            {"outside", std::max<int64_t>(meter_->now() - most.reserved - most.mapped, 0)},
            {"outside_once_made", outside_made_},
            {"nvml_counts", meter_->way()}};
  }

  /// A line for people; the report comes at the end.
  static void say(const Json& layout) {
    std::cerr << layout.at("name").get<std::string>() << ": ";
    if (layout.contains("error")) {
      std::cerr << layout["error"].get<std::string>() << std::endl;
    } else {
      std::cerr << layout["period_ms"] << " ms a block";
      if (layout.contains("allowed_period_ms"))
        std::cerr << ", " << layout["allowed_period_ms"] << " allowed";
      if (layout.contains("plan")) std::cerr << ", with " << layout["plan"]["options"];
      std::cerr << std::endl;
    }
  }

  int rank() const { return mpi_.world().rank; }
  bool is_root() const { return rank() == 0; }
  BenchSetup setup(Communicator& pipeline) const {
    const BenchJob& job = plan_ == nullptr ? job_ : plan_->job;
    return {job, model_, device_, rank(), pipeline, mpi_.activity(), job_.decode};
  }

  const PipelineJob& job_;
  const ModelShape& model_;
  const MpiSession& mpi_;
  std::unique_ptr<Communicator> control_, pipeline_, pipeline_by_nccl_;
  ComputeDevice device_;
  std::optional<GpuMemoryMeter> meter_;
  DeviceMemory made_;  // of the layout at hand, before it ran
  int64_t outside_made_ = 0;
  std::vector<BenchPlan> plans_;     // of each layout, with a budget
  const BenchPlan* plan_ = nullptr;  // of the layout at hand
  std::vector<BenchLayout> layouts_;
  LayoutCosts costs_;
  std::vector<MeasuredLayout> measured_;
};

void add_pipeline_options(CLI::App& app, PipelineJob& job) {
  add_bench_options(app, job);
  app.add_option(
         "--layouts", job.layouts,
         "what to measure: WORK[@RANKS][/DECODER], joined by commas; WORK is one, timestep, timestep+shard, "
         "timestep+shard-collective (by all-gathers), layers, layers+even or layers+N-N-..., and +nccl "
         "behind it if NCCL shall move what goes between two GPUs of a host; DECODER is off "
         "(the default), stream, rank or after "
         "(in line with the denoising); default: a list that suits the number of ranks")
      ->delimiter(',');
  app.add_option("--blocks", job.blocks, "blocks to measure at least, once the pipeline is full")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--sample_steps", job.sample_steps, "denoising steps of a block")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option(
         "--vram", job.vram,
         "GiB that each rank may take of its GPU: each layout, or the one that fits best, gets the means "
         "that `render --vram` would choose, and the bound is kept; nothing is measured alone")
      ->check(CLI::PositiveNumber);
  app.add_option_function<std::string>(
         "--decode",
         [&job](const std::string& mode) {
           job.decode = mode == "batch" ? DecodeMode::kBatch : DecodeMode::kOnline;
         },
         "online or batch; for batch give --blocks as whole clips (4)")
      ->check(CLI::IsMember({"online", "batch"}));
  app.add_option("--timeout", job.timeout, "seconds that a rank waits for another")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
}

}  // namespace

int run_bench_pipeline(int argc, const char* const* argv, const MpiSession& mpi) {
  PipelineJob job;
  CLI::App app(
      "Measures layouts of ranks with random weights, with the parts that a render is made of: start it with "
      "as many "
      "ranks as there are GPUs.");
  app.name("latentcast bench pipeline");
  add_pipeline_options(app, job);
  if (!parse_bench(app, argc, argv)) {
    return 0;
  }
  parse_bench_size(job);
  const ModelShape model = model_shape(job.model);
  if (job.layouts.empty() && !job.vram) {
    job.layouts = default_bench_layouts(mpi.world().size, job.sample_steps, model.dit.layers);
  }
  const c10::InferenceMode inference;
  run_alone(mpi, [&] {
    const Json report = PipelineBench(job, model, mpi).run();
    if (mpi.world().rank == 0) {
      std::cout << report.dump(2) << std::endl;
    }
  });
  return 0;
}

}  // namespace latentcast
