#include "rank_budget.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace latentcast {

RankBudget::RankBudget(const RankSetup& setup) : setup_(setup), meter_(setup.device) {
  if (setup_.job.vram) {
    meter_.keep_within(budget_bytes(*setup_.job.vram), setup_.outside_bytes);
  }
}

std::string RankBudget::name() const { return "--vram " + budget_text(*setup_.job.vram); }

std::string RankBudget::plan_text() const {
  if (!setup_.job.vram) {
    return {};
  }
  return name() + ": this fits, as with " + plan_options_text(setup_.memory) + "\n" +
         memory_table(setup_.memory.ranks) +
         (setup_.device.is_cuda() ? "" : "\nOn a CPU nothing is bounded: it only chose the options.");
}

std::string RankBudget::excess_text() const {
  const DeviceMemory memory = device_memory(setup_.device);
  const int64_t outside = std::max(meter_.now() - memory.reserved - memory.mapped, setup_.outside_bytes);
  return name() + ": rank " + std::to_string(setup_.rank) + " needs more than that. It has had " +
         gib_text(memory.peak_tensors + memory.peak_mapped) + " of tensors and caches, " + gib_text(outside) +
         " goes to CUDA and what moves between GPUs; " + gib_text(estimate().device_bytes()) +
         " were estimated in all (" + largest_parts(estimate(), 3) +
         "). Give more, or name further means to save memory (docs/memory.md)";
}

std::string RankBudget::with_figures(const std::string& report) const {
  auto json = nlohmann::ordered_json::parse(report);
  if (!setup_.device.is_cuda()) {
    return json.dump();
  }
  json["gpu_memory"] = {{"peak_bytes", meter_.peak()},
                        {"counts", meter_.way()},
                        {"estimated_bytes", estimate().device_bytes()}};
  if (setup_.job.vram) {
    json["gpu_memory"]["budget_bytes"] = budget_bytes(*setup_.job.vram);
  }
  return json.dump();
}

}  // namespace latentcast
