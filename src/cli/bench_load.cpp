#include <chrono>
#include <iostream>

#include "bench_model.h"
#include "bench_options.h"
#include "commands.h"
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "latentcast/pipeline/checkpoint.h"
#include "latentcast/telemetry/memory.h"

namespace latentcast {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr double kGiga = 1e9;

struct LoadJob : BenchJob {
  RenderJob render;
};

double seconds_of(const ComputeDevice& device, const std::function<void()>& call) {
  synchronize(device);
  const auto start = Clock::now();
  call();
  synchronize(device);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Loads the whole transformer once and drops it.
Json load_once(const Checkpoint& checkpoint, const ComputeDevice& device) {
  int64_t bytes = 0;
  const double seconds = seconds_of(device, [&] {
    CheckpointSource source = checkpoint.dit_source(device);
    const DitGlobalWeights globals = take_dit_globals(source, checkpoint.dit_config);
    const ResidentLayers layers(source, checkpoint.dit_config);
    bytes = layers.bytes() + weight_bytes(globals);
    synchronize(device);
  });
  return {{"bytes", bytes}, {"seconds", seconds}, {"gb_per_s", static_cast<double>(bytes) / seconds / kGiga}};
}

/// What the link between host and GPU gives: 1 GB of pinned memory, ten times.
double link_gb_per_s(const ComputeDevice& device) {
  const int64_t bytes = 1'000'000'000;
  const at::Tensor host = at::empty({bytes}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
  const at::Tensor there = at::empty({bytes}, at::TensorOptions().dtype(at::kByte).device(device.device));
  there.copy_(host);
  const double seconds = seconds_of(device, [&] {
    for (int i = 0; i < 10; ++i) there.copy_(host, /*non_blocking=*/true);
  });
  return 10.0 * static_cast<double>(bytes) / seconds / kGiga;
}

}  // namespace

int run_bench_load(int argc, const char* const* argv) {
  LoadJob job;
  CLI::App app("Measures how fast a checkpoint's transformer is loaded, as found on the disk and once more.");
  app.name("latentcast bench load");
  app.add_option("--ckpt_dir", job.render.ckpt_dir, "folder of the checkpoint")->required();
  app.add_option("--device", job.device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--dtype", job.dtype, "auto, float32 or bf16")
      ->check(CLI::IsMember({"auto", "float32", "bf16"}));
  app.add_option("--threads", job.threads, "threads that read")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--json", job.json, "also write the figures to this file");
  if (!parse_bench(app, argc, argv)) {
    return 0;
  }
  const c10::InferenceMode inference;
  const ComputeDevice device = select_device(job.device, job.dtype, job.threads);
  const Checkpoint checkpoint = open_checkpoint(job.render);
  Json report = {{"bench", "load"}, {"ckpt_dir", job.render.ckpt_dir.string()}};
  report["device"] = device.name;
  report["dtype"] = c10::toString(device.dtype);
  report["threads"] = job.threads;
  report["as_found"] = load_once(checkpoint, device);
  report["again"] = load_once(checkpoint, device);
  if (device.is_cuda()) {
    report["link_gb_per_s"] = link_gb_per_s(device);
  }
  report["peak_device_bytes"] = peak_device_bytes(device);
  report["peak_resident_bytes"] = peak_resident_bytes();
  std::cout << report.dump(2) << std::endl;
  write_report(report, job);
  return 0;
}

}  // namespace latentcast
