#include "bench_budget.h"

#include "random_source.h"

#include "latentcast/pipeline/cache_setup.h"
#include "latentcast/pipeline/memory_plan.h"

namespace latentcast {

nlohmann::ordered_json BenchPlan::json() const {
  return {{"budget_bytes", budget},
          {"options", plan_options(plan)},
          {"estimate", nlohmann::ordered_json::parse(memory_json(plan.ranks))}};
}

BenchPlan plan_bench(const BenchJob& job, double vram, int sample_steps, DecodeMode decode,
                     const ModelShape& model, const ComputeDevice& device, int ranks,
                     const std::optional<BenchLayout>& bench, const std::optional<RankLayout>& layout) {
  RenderJob asked;
  asked.vram = vram;
  asked.sample_steps = sample_steps;
  asked.decode = decode;
  asked.checkpoint = "light";  // there are none
  asked.fp8 = job.fp8;
  asked.attention = job.caches.packed ? "fp8" : "auto";
  asked.kv_dtype = job.caches.fp8 ? "fp8" : "auto";
  asked.offload_kv_cache = job.caches.on_host;
  asked.kv_layers_on_device = static_cast<int>(job.caches.device_layers);
  asked.kv_buffers = static_cast<int>(job.caches.buffers);
  asked.offload_condition_cache = job.caches.condition_on_host;
  asked.offload_decoder_state = job.offload_decoder_state;
  asked.offload_audio_encoder = job.offload_audio_encoder;
  asked.gather = bench && bench->sends == SendWay::kNccl ? "collective" : "auto";

  RandomSource shapes(at::TensorOptions().device(at::kMeta));
  list_vae_decoder(shapes, model.vae_width);
  const StageShape shape{job.height / 8, job.width / 8, 4};
  MemoryRequest request = memory_request(asked, model.dit, shapes, shape, device, {ranks});
  request.fixed_layout = layout;
  BenchPlan planned{bench.value_or(BenchLayout{}), job, plan_memory(request), request.budget, {}};
  adopt(planned.plan, asked);
  planned.job.fp8 = asked.fp8;
  planned.job.caches = cache_means(asked);
  planned.job.offload_decoder_state = asked.offload_decoder_state;
  planned.job.offload_audio_encoder = asked.offload_audio_encoder;
  if (!bench) planned.layout = bench_layout_of(planned.plan.layout, asked.offload_decoder_state);
  if (asked.offload_decoder_state && planned.layout.decoder == BenchDecoder::kStream) {
    planned.layout.decoder = BenchDecoder::kAfter;
    planned.layout.name.replace(planned.layout.name.rfind('/'), std::string::npos, "/after");
  }
  for (int rank = 0; rank < ranks; ++rank) {
    planned.outside.push_back(outside_bytes(request.model, request.work, planned.plan.layout, rank));
  }
  return planned;
}

}  // namespace latentcast
