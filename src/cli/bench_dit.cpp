#include <chrono>

#include "bench_model.h"
#include "random_source.h"
#include <ATen/ATen.h>

#include "latentcast/model/fp8_source.h"
#include "latentcast/model/vae/latent_scale.h"
#include "latentcast/pipeline/cache_setup.h"
#include "latentcast/pipeline/stage.h"
#include "latentcast/telemetry/memory.h"

namespace latentcast {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kSeed = 420;

/// A stage with all layers and one timestep, weights and inputs at random: the same in every object of this
/// kind, whatever form products have.
class StepBench {
 public:
  StepBench(const BenchJob& job, const ModelShape& model, const ComputeDevice& device, bool fp8)
      : device_(device),
        shape_{job.height / 8, job.width / 8, 4},
        plain_(at::TensorOptions().device(device.device)),
        stage_(make(job, model.dit, fp8)),
        latents_(
            at::randn({kLatentChannels, kBlockLatents, shape_.latent_rows, shape_.latent_columns}, plain_)),
        pose_(at::zeros_like(latents_)) {
    Trace off;
    const at::Tensor motion =
        at::randn({kLatentChannels, 19, shape_.latent_rows, shape_.latent_columns}, plain_);
    stage_->run_condition(stage_->begin_condition(motion.narrow(1, 0, 1), motion), 0, off);
    item_.audio = at::randn({1, kBlockFrames, model.dit.audio_dim}, plain_);
    synchronize(device_);
  }

  /// One step's velocity; the latents after it are computed too.
  at::Tensor step() {
    const at::Tensor x = stage_->run_layers(item_, 1, stage_->begin_step(latents_, pose_));
    const at::Tensor velocity = stage_->end_step(1, x);
    stage_->advance(1, latents_, velocity);
    return velocity;
  }

  /// Goes on to the second clip's third block; its window is full.
  void fill_window() {
    for (item_.block = 1; item_.block < 4; ++item_.block) {
      item_.number = item_.block;
      step();
    }
    item_.clip = 1;
    item_.block = 2;
    item_.number = 6;
  }

  const StageShape& shape() const { return shape_; }
  int64_t weights_bytes() const { return weights_bytes_; }

 private:
  std::unique_ptr<DenoiseStage> make(const BenchJob& job, const DitConfig& config, bool fp8) {
    at::manual_seed(kSeed);
    RandomSource source(plain_.dtype(device_.dtype));
    DitGlobalWeights globals = take_dit_globals(source, config);
    Fp8Source in_fp8(source);
    auto layers = std::make_unique<ResidentLayers>(fp8 ? static_cast<TensorSource&>(in_fp8) : source, config);
    synchronize(device_);
    weights_bytes_ = peak_device_bytes(device_);
    const StagePlan plan{0, {1, 2}, {0, config.layers}};
    const std::shared_ptr<HostPieces> pieces =
        make_host_pieces(cache_shape(config, plan, shape_), job.caches, device_, {});
    return std::make_unique<DenoiseStage>(
        config, std::move(globals), std::move(layers), plan, shape_, make_euler_schedule(4, 3.0),
        at::randn({64, config.text_dim}, plain_), ConditionDistance{30, 0}, stage_memory(job.caches, pieces));
  }

  const ComputeDevice& device_;
  StageShape shape_;
  at::TensorOptions plain_;
  int64_t weights_bytes_ = 0;
  std::unique_ptr<DenoiseStage> stage_;
  at::Tensor latents_, pose_;
  BlockItem item_;
};

/// In 8 bits: products, attention.
at::Tensor velocity_of(BenchJob job, const ModelShape& model, const ComputeDevice& device, bool products,
                       bool attention) {
  job.caches.packed = attention;
  StepBench bench(job, model, device, products);
  bench.step();
  bench.fill_window();
  return bench.step().to(at::kCPU).to(at::kDouble);
}

}  // namespace

Json bench_dit(const BenchJob& job, const ModelShape& model, const ComputeDevice& device) {
  StepBench bench(job, model, device, job.fp8);
  const auto start = std::chrono::steady_clock::now();
  bench.step();
  synchronize(device);
  const std::chrono::duration<double> first = std::chrono::steady_clock::now() - start;
  bench.fill_window();
  const StageShape& shape = bench.shape();
  Json report = {{"bench", "dit"},
                 {"layers", model.dit.layers},
                 {"dim", model.dit.dim},
                 {"tokens", shape.block_tokens()},
                 {"keys", 4 * shape.block_tokens() + shape.condition_tokens()},
                 {"first_step_s", first.count()},
                 {"step", summary(measure(device, job.repeats, [&] { bench.step(); }))},
                 {"weights_bytes", bench.weights_bytes()}};
  report["peak_device_bytes"] = peak_device_bytes(device);
  return report;
}

Json bench_fp8(const BenchJob& job, const ModelShape& model, const ComputeDevice& device) {
  check_fp8(model.dit);
  const bool attention = job.caches.packed;
  const at::Tensor exact = velocity_of(job, model, device, false, false);
  const auto errors = [&](const at::Tensor& velocity) {
    const at::Tensor off = velocity - exact;
    return Json{
        {"velocity_relative_error", (off.norm() / exact.norm()).item<double>()},
        {"velocity_largest_error_over_largest", (off.abs().max() / exact.abs().max()).item<double>()}};
  };
  Json report = {{"bench", "fp8"}};
  report.update(errors(velocity_of(job, model, device, true, attention)));
  if (attention) {
    report["products_alone"] = errors(velocity_of(job, model, device, true, false));
    report["attention_alone"] = errors(velocity_of(job, model, device, false, true));
  }
  report["velocity_norm"] = exact.norm().item<double>();
  return report;
}

}  // namespace latentcast
