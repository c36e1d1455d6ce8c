#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "bench_model.h"
#include "random_source.h"
#include <ATen/ATen.h>

#include "latentcast/kernels/causal_conv.h"
#include "latentcast/kernels/yuv420p.h"
#include "latentcast/model/vae/decoder.h"
#include "latentcast/model/vae/latent_scale.h"
#include "latentcast/pipeline/frames_to_host.h"
#include "latentcast/pipeline/stage.h"

namespace latentcast {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr auto kLast = at::MemoryFormat::ChannelsLast3d;

/// A convolution of the decoder, as often as it runs for a block.
struct Layer {
  const char* name;
  ConvKind kind;
  int64_t in, out, frames, height, width, times;
  std::vector<int64_t> kernel() const {
    switch (kind) {
      case ConvKind::kTimeDoubling:
        return {3, 1, 1};
      case ConvKind::kPictureDoubling:
        return {1, 3, 3};
      case ConvKind::kPoint:
        return {1, 1, 1};
      default:
        return {3, 3, 3};
    }
  }
};

std::vector<Layer> layers_of(int64_t width, const BenchJob& job) {
  using enum ConvKind;
  const int64_t h = job.height / 8, w = job.width / 8, top = 4 * width, half = 2 * width, n = kBlockLatents;
  return {{"in", kSpaceTime, kLatentChannels, top, n, h, w, 1},
          {"level 0", kSpaceTime, top, top, n, h, w, 10},
          {"time 0", kTimeDoubling, top, 2 * top, n, h, w, 1},
          {"picture 0", kPictureDoubling, top, half, 2 * n, h, w, 1},
          {"level 1, first", kSpaceTime, half, top, 2 * n, 2 * h, 2 * w, 1},
          {"level 1, shortcut", kPoint, half, top, 2 * n, 2 * h, 2 * w, 1},
          {"level 1", kSpaceTime, top, top, 2 * n, 2 * h, 2 * w, 5},
          {"time 1", kTimeDoubling, top, 2 * top, 2 * n, 2 * h, 2 * w, 1},
          {"picture 1", kPictureDoubling, top, half, 4 * n, 2 * h, 2 * w, 1},
          {"level 2", kSpaceTime, half, half, 4 * n, 4 * h, 4 * w, 6},
          {"picture 2", kPictureDoubling, half, width, 4 * n, 4 * h, 4 * w, 1},
          {"level 3", kSpaceTime, width, width, 4 * n, 8 * h, 8 * w, 6},
          {"out", kSpaceTime, width, 3, 4 * n, 8 * h, 8 * w, 1}};
}

double median(const std::vector<double>& times) { return times[times.size() / 2]; }

/// By cuDNN, channels last, of a finished input (a doubled picture, the past in front), without bias.
double time_library(const Layer& layer, const ComputeDevice& device, int repeats) {
  const at::TensorOptions options =
      at::TensorOptions().dtype(device.dtype).device(device.device).memory_format(kLast);
  const std::vector<int64_t> k = layer.kernel();
  const int64_t side = layer.kind == ConvKind::kPictureDoubling ? 2 : 1;
  const at::Tensor x =
      at::empty({1, layer.in, layer.frames + k[0] - 1, side * layer.height, side * layer.width}, options)
          .normal_();
  const at::Tensor weight = at::empty({layer.out, layer.in, k[0], k[1], k[2]}, options).normal_();
  const std::vector<int64_t> padding = {0, k[1] / 2, k[2] / 2};
  return median(measure(device, repeats, [&] { at::conv3d(x, weight, {}, 1, padding); }));
}

/// By our own kernel; 0 where there is none.
double time_ours(const Layer& layer, const ComputeDevice& device, int repeats) {
  const at::TensorOptions options =
      at::TensorOptions().dtype(device.dtype).device(device.device).memory_format(kLast);
  const std::vector<int64_t> k = layer.kernel();
  const at::Tensor weight = at::empty({layer.out, layer.in, k[0], k[1], k[2]}, options).normal_();
  const int64_t columns = conv_columns(weight, layer.kind, layer.in, layer.out);
  if (columns == 0) {
    return 0;
  }
  const PackedConv conv = pack_conv(layer.kind, weight, at::zeros({layer.out}, weight.options()), columns);
  const auto frames = [&](int64_t n) {
    return at::empty({1, layer.in, n, layer.height, layer.width}, options).normal_();
  };
  const at::Tensor x = frames(layer.frames);
  const std::optional<at::Tensor> past = k[0] == 3 ? std::optional(frames(2)) : std::nullopt;
  return median(measure(device, repeats, [&] { causal_conv(conv, past, x, {}, {}, /*keep_sum=*/true); }));
}

/// Each convolution of the decoder alone: what cuDNN and what our kernels need for all of a block's.
Json convolutions_alone(const BenchJob& job, int64_t width, const ComputeDevice& device) {
  Json rows = Json::array();
  double library = 0, ours = 0, flops = 0;
  const int repeats = std::min(job.repeats, 7);
  for (const Layer& layer : layers_of(width, job)) {
    const std::vector<int64_t> k = layer.kernel();
    const int64_t side = layer.kind == ConvKind::kPictureDoubling ? 2 : 1;
    const double work = 2e-9 * static_cast<double>(layer.in * layer.out * k[0] * k[1] * k[2]) *
                        static_cast<double>(layer.frames * layer.height * layer.width * side * side);
    const double by_library = time_library(layer, device, repeats),
                 by_ours = time_ours(layer, device, repeats);
    library += by_library * static_cast<double>(layer.times);
    ours += (by_ours > 0 ? by_ours : by_library) * static_cast<double>(layer.times);
    flops += work * static_cast<double>(layer.times);
    rows.push_back({{"name", layer.name},
                    {"in", layer.in},
                    {"out", layer.out},
                    {"frames", layer.frames},
                    {"height", layer.height},
                    {"width", layer.width},
                    {"times", layer.times},
                    {"gflop", work},
                    {"cudnn_ms", by_library}});
    if (by_ours > 0) {
      rows.back()["ours_ms"] = by_ours;
    }
  }
  return {{"gflop", flops}, {"cudnn_ms", library}, {"ours_ms", ours}, {"layers", rows}};
}

/// Milliseconds of decoding, and the most memory that it takes over weights and state.
Json time_decoding(const VaeDecoder& decoder, const at::Tensor& latents, CausalState& state,
                   const BenchJob& job, const ComputeDevice& device) {
  decoder.decode(latents, state);
  synchronize(device);
  reset_peak_device_bytes(device);
  const int64_t held = peak_device_bytes(device);
  Json report = {{"latents", latents.size(1)},
                 {"decode", summary(measure(device, job.repeats, [&] { decoder.decode(latents, state); }))}};
  report["peak_over_weights_and_state_bytes"] = peak_device_bytes(device) - held;
  report["with_frames_on_the_host"] = summary(
      measure(device, job.repeats, [&] { FramesToHost(to_yuv420p(decoder.decode(latents, state))).wait(); }));
  return report;
}

}  // namespace

Json bench_vae(const BenchJob& job, const ModelShape& model, const ComputeDevice& device) {
  const at::TensorOptions options = at::TensorOptions().dtype(device.dtype).device(device.device);
  RandomSource source(options);
  list_vae_decoder(source, model.vae_width);
  const VaeDecoder decoder(source);
  CausalState state;
  const auto latents = [&](int64_t count) {
    return at::randn({kLatentChannels, count, job.height / 8, job.width / 8}, options.dtype(at::kFloat));
  };
  const at::Tensor block = latents(kBlockLatents), clip = latents(4 * kBlockLatents);
  synchronize(device);
  const auto start = Clock::now();
  decoder.decode(block, state);
  synchronize(device);
  const std::chrono::duration<double> first = Clock::now() - start;
  Json report = {{"bench", "vae"}, {"width", model.vae_width}, {"own_kernels", decoder.is_fused()}};
  report["first_decode_s"] = first.count();
  report.update(time_decoding(decoder, block, state, job, device));
  int64_t state_bytes = 0;
  for (const at::Tensor& cache : state.caches) {
    state_bytes += static_cast<int64_t>(cache.nbytes());
  }
  report["state_bytes"] = state_bytes;
  report["weights_bytes"] = source.bytes_given();
  report["whole_clip"] = time_decoding(decoder, clip, state, job, device);
  if (device.is_cuda()) {
    report["convolutions_alone"] = convolutions_alone(job, model.vae_width, device);
  }
  return report;
}

}  // namespace latentcast
