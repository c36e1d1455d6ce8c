#include "bench_model.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "random_source.h"
#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/model/fp8_source.h"
#include "latentcast/model/vae/latent_scale.h"
#include "latentcast/pipeline/cache_setup.h"
#include "latentcast/pipeline/stage.h"
#include "latentcast/telemetry/memory.h"

namespace latentcast {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

}  // namespace

ModelShape model_shape(const std::string& name) {
  ModelShape shape;
  DitConfig& d = shape.dit;
  d.text_len = 512;
  d.audio_tokens = 4;
  if (name == "14b") {
    d.dim = 5120, d.ffn_dim = 13824, d.heads = 40, d.layers = 40;
    d.text_dim = 4096, d.audio_dim = 1024, d.audio_layers = 25;
    d.inject_layers = {0, 4, 8, 12, 16, 20, 24, 27, 30, 33, 36, 39};
  } else if (name == "tiny") {
    d.dim = 64, d.ffn_dim = 160, d.heads = 4, d.layers = 4;
    d.text_dim = 48, d.audio_dim = 32, d.audio_layers = 25;
    d.inject_layers = {0, 2};
    shape.vae_width = 8;
  } else {
    throw InputError("--model " + name + ": known are 14b and tiny");
  }
  return shape;
}

void parse_bench_size(BenchJob& job) {
  char rest = 0;
  if (std::sscanf(job.size.c_str(), "%d*%d%c", &job.width, &job.height, &rest) != 2 || job.width < 64 ||
      job.height < 64 || job.width % 64 != 0 || job.height % 64 != 0 || job.width > 4096 ||
      job.height > 4096) {
    throw InputError("--size " + job.size + ": give W*H, both multiples of 64 up to 4096");
  }
}

std::vector<double> measure(const ComputeDevice& device, int repeats, const std::function<void()>& call) {
  std::vector<double> times;
  for (int i = 0; i <= repeats; ++i) {
    synchronize(device);
    const auto start = Clock::now();
    call();
    synchronize(device);
    const std::chrono::duration<double, std::milli> elapsed = Clock::now() - start;
    if (i > 0) {
      times.push_back(elapsed.count());
    }
  }
  std::sort(times.begin(), times.end());
  return times;
}

Json summary(const std::vector<double>& times) {
  const auto at = [&](double part) {
    return times[static_cast<size_t>(part * static_cast<double>(times.size() - 1) + 0.5)];
  };
  return {{"median_ms", at(0.5)},
          {"min_ms", times.front()},
          {"p90_ms", at(0.9)},
          {"max_ms", times.back()},
          {"repeats", times.size()}};
}

Json bench_dit(const BenchJob& job, const ModelShape& model, const ComputeDevice& device) {
  const at::TensorOptions options = at::TensorOptions().dtype(device.dtype).device(device.device);
  RandomSource source(options);
  DitGlobalWeights globals = take_dit_globals(source, model.dit);
  Fp8Source in_fp8(source);
  auto layers =
      std::make_unique<ResidentLayers>(job.fp8 ? static_cast<TensorSource&>(in_fp8) : source, model.dit);
  synchronize(device);
  const int64_t weights = peak_device_bytes(device);
  const StageShape shape{job.height / 8, job.width / 8, 4};
  const EulerSchedule schedule = make_euler_schedule(4, 3.0);
  const at::TensorOptions plain = at::TensorOptions().device(device.device);
  const StagePlan plan{0, {1, 2}, {0, model.dit.layers}};
  const std::shared_ptr<HostPieces> pieces =
      make_host_pieces(cache_shape(model.dit, plan, shape), job.caches, device, {});
  DenoiseStage stage(model.dit, std::move(globals), std::move(layers), plan, shape, schedule,
                     at::randn({64, model.dit.text_dim}, plain), {30, 0}, stage_memory(job.caches, pieces));
  Trace off;
  const at::Tensor motion = at::randn({kLatentChannels, 19, shape.latent_rows, shape.latent_columns}, plain);
  stage.run_condition(stage.begin_condition(motion.narrow(1, 0, 1), motion), 0, off);
  const at::Tensor latents =
      at::randn({kLatentChannels, kBlockLatents, shape.latent_rows, shape.latent_columns}, plain);
  const at::Tensor pose = at::zeros_like(latents);
  BlockItem item;
  item.audio = at::randn({1, kBlockFrames, model.dit.audio_dim}, plain);
  const auto step = [&] {
    const at::Tensor x = stage.run_layers(item, 1, stage.begin_step(latents, pose));
    stage.advance(1, latents, stage.end_step(1, x));
  };
  synchronize(device);
  const auto start = Clock::now();
  step();
  synchronize(device);
  const std::chrono::duration<double> first = Clock::now() - start;
  for (item.block = 1; item.block < 4; ++item.block) {
    item.number = item.block;
    step();  // fills the window
  }
  item.clip = 1;
  item.block = 2;
  item.number = 6;
  Json report = {{"bench", "dit"},
                 {"layers", model.dit.layers},
                 {"dim", model.dit.dim},
                 {"tokens", shape.block_tokens()},
                 {"keys", 4 * shape.block_tokens() + shape.condition_tokens()},
                 {"first_step_s", first.count()},
                 {"step", summary(measure(device, job.repeats, step))},
                 {"weights_bytes", weights}};
  report["peak_device_bytes"] = peak_device_bytes(device);
  return report;
}

void write_report(const Json& report, const BenchJob& job) {
  if (!job.json.empty()) {
    std::ofstream file(job.json);
    file << report.dump(2) << "\n";
    if (!file.flush()) {
      throw OutputError(job.json + ": can't be written");
    }
  }
}

}  // namespace latentcast
