#pragma once

#include <optional>

#include "bench_layouts.h"
#include "bench_model.h"
#include <nlohmann/json.hpp>

#include "latentcast/budget/memory_planner.h"
#include "latentcast/config/render_job.h"
#include "latentcast/device/device.h"

namespace latentcast {

/// How a layout fits into what a GPU may have, by the planner that renders have.
struct BenchPlan {
  BenchLayout layout;
  BenchJob job;  ///< with the plan's means
  MemoryPlan plan;
  int64_t budget = 0;
  std::vector<int64_t> outside;  ///< what is estimated besides tensors and caches, of each rank

  nlohmann::ordered_json json() const;
};

/// Of `bench` with that layout, or, without, of the layout that is chosen for so many ranks. Throws
/// InputError if nothing fits.
BenchPlan plan_bench(const BenchJob& job, double vram, int sample_steps, DecodeMode decode,
                     const ModelShape& model, const ComputeDevice& device, int ranks,
                     const std::optional<BenchLayout>& bench, const std::optional<RankLayout>& layout);

}  // namespace latentcast
