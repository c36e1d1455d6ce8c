#include "bench_model.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "latentcast/error.h"

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
