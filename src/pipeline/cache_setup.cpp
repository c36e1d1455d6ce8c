#include "latentcast/pipeline/cache_setup.h"

#include <cstdio>
#include <utility>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/kernels/packed_attention.h"
#include "latentcast/model/dit/rope.h"

namespace latentcast {
namespace {

constexpr int64_t kFp8Multiple = 16;  // of the kernel that unpacks

std::string gigabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

}  // namespace

CacheMeans cache_means(const RenderJob& job) {
  CacheMeans means;
  means.on_host = job.offload_kv_cache;
  means.device_layers = job.kv_layers_on_device;
  means.fp8 = job.kv_dtype == "fp8";
  means.condition_on_host = job.offload_condition_cache;
  means.buffers = job.kv_buffers;
  means.packed = job.attention == "fp8";
  return means;
}

AttentionCacheShape cache_shape(const DitConfig& config, const StagePlan& plan, const StageShape& shape) {
  return {plan.timesteps.size(),
          plan.layers.size(),
          shape.rows() * shape.columns(),
          motion_tokens(shape.rows(), shape.columns()),
          shape.block_tokens(),
          shape.blocks_per_clip,
          config.heads,
          config.head_dim()};
}

void check_caches(const CacheMeans& means, const DitConfig& config, const ComputeDevice& device) {
  if (means.fp8 && device.is_cuda() && config.dim % kFp8Multiple != 0) {
    throw InputError("--kv_dtype fp8: this model's rows are " + std::to_string(config.dim) +
                     " long; on a GPU they must be a multiple of " + std::to_string(kFp8Multiple) +
                     ". Leave it out.");
  }
  if (means.packed && means != CacheMeans{.packed = true}) {
    throw InputError(
        "--attention fp8: its caches are in 8 bits and on the device, other means don't go with it");
  }
  if (means.packed) {
    const at::Tensor like =
        at::empty({0, config.head_dim()}, at::TensorOptions().dtype(device.dtype).device(device.device));
    if (const std::string refusal = packed_attention_refusal(like); !refusal.empty()) {
      throw InputError("--attention fp8: " + refusal + ". Leave it out.");
    }
  }
  if (means.device_layers > config.layers) {
    throw InputError("--kv_layers_on_device " + std::to_string(means.device_layers) + ": this model has " +
                     std::to_string(config.layers) + " layers");
  }
}

std::string host_shortage(const CacheBytes& bytes, int ranks_on_host, int64_t available) {
  const int64_t wanted = bytes.host * ranks_on_host;
  if (wanted <= available) return {};
  return "--offload_kv_cache: the caches take " + gigabytes(bytes.host) + " of host memory a rank, and " +
         std::to_string(ranks_on_host) + (ranks_on_host == 1 ? " rank runs" : " ranks run") +
         " on this host, which has " + gigabytes(available) +
         " left; keep more layers' caches on the device (--kv_layers_on_device), use --kv_dtype fp8, or give "
         "the job more memory";
}

std::shared_ptr<HostPieces> make_host_pieces(const AttentionCacheShape& shape, const CacheMeans& means,
                                             const ComputeDevice& device, std::function<void()> on_step) {
  const auto element = static_cast<int64_t>(c10::elementSize(device.dtype));
  const std::vector<HostPieceNeed> needs = host_pieces(shape, means, element);
  if (needs.empty()) return nullptr;
  auto pieces = std::make_shared<HostPieces>(device, std::move(on_step));
  for (const HostPieceNeed& need : needs) pieces->reserve(need.bytes, need.count);
  return pieces;
}

StageMemory stage_memory(const CacheMeans& means, const std::shared_ptr<HostPieces>& pieces) {
  if (!pieces) return {means, {}};
  return {means, [pieces](int64_t bytes) { return pieces->take(bytes); }};
}

std::string caches_text(const AttentionCacheShape& shape, const CacheMeans& means, int64_t element_bytes) {
  if (means.packed) {
    return "attention and its caches in 8 bits: " +
           gigabytes(cache_bytes(shape, means, element_bytes).device) + " on the device";
  }
  int64_t on_device = 0, in_place = 0;
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    on_device += window_on_device(means, layer, shape.layers) ? 1 : 0;
    in_place += window_in_place(means, layer, shape.layers) ? 1 : 0;
  }
  if (in_place == shape.layers) return {};
  const CacheBytes bytes = cache_bytes(shape, means, element_bytes);
  std::string text = "attention caches" + std::string(means.fp8 ? " in 8 bits" : "") + ": of " +
                     std::to_string(shape.layers - on_device) + " of " + std::to_string(shape.layers) +
                     " layers in host memory";
  if (means.condition_on_host && in_place < shape.layers) text += ", the condition's too";
  return text + "; " + gigabytes(bytes.device) + " on the device, " + gigabytes(bytes.host) + " on the host";
}

}  // namespace latentcast
