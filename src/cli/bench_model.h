#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "latentcast/device/device.h"
#include "latentcast/model/dit/cache_means.h"
#include "latentcast/model/dit/weights.h"

namespace latentcast {

/// What all benchmarks are told.
struct BenchJob {
  std::string model = "14b", device = "auto", dtype = "auto", json;
  std::string size = "704*384";
  int width = 704, height = 384;  ///< exact, unlike a render's area; set by parse_bench_size()
  int repeats = 10, threads = 2;
  bool fp8 = false;
  CacheMeans caches;
  bool offload_decoder_state = false, offload_audio_encoder = false;
};

/// Shapes of a model's networks.
struct ModelShape {
  DitConfig dit;
  int64_t vae_width = 96;
};

/// Throws InputError for an unknown name.
ModelShape model_shape(const std::string& name);

/// Sets width and height. Throws InputError.
void parse_bench_size(BenchJob& job);

/// Milliseconds of `repeats` calls in ascending order, each waited for, after one that doesn't count.
std::vector<double> measure(const ComputeDevice& device, int repeats, const std::function<void()>& call);

/// Median, range and number of sorted milliseconds.
nlohmann::ordered_json summary(const std::vector<double>& times);

/// One step of the whole transformer (one timestep of one block with a full window), alone.
nlohmann::ordered_json bench_dit(const BenchJob& job, const ModelShape& model, const ComputeDevice& device);

/// How far the velocity of a step with a full window is from that without 8 bits, weights and inputs being
/// the same and each having caches from its own run: of products and, with --attention fp8, attention. Throws
/// InputError for a model that 8 bits can't be had for.
nlohmann::ordered_json bench_fp8(const BenchJob& job, const ModelShape& model, const ComputeDevice& device);

/// Decoding a block's 3 latents, alone; a clip's 12 in one call; the convolutions alone.
nlohmann::ordered_json bench_vae(const BenchJob& job, const ModelShape& model, const ComputeDevice& device);

/// Writes a report to job.json, if that is given. Throws OutputError.
void write_report(const nlohmann::ordered_json& report, const BenchJob& job);

}  // namespace latentcast
