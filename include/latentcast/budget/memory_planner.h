#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "latentcast/budget/memory_model.h"
#include "latentcast/pipeline/layout.h"

namespace latentcast {

/// What a plan is made from.
struct MemoryRequest {
  LayoutRequest layout;  ///< what is left open in it may be decided by the budget
  ModelSizes model;
  WorkSizes work;
  std::optional<RankLayout> fixed_layout;  ///< instead of what `layout` asks for
  MemoryMeans given;                       ///< what the user asked for: it stays, others may be added
  bool fp8_works = true;                   ///< the model's sizes and the device can have it
  bool content_fixed = false;              ///< nothing that changes the video's bytes may be added
  int64_t budget = 0;                      ///< bytes that each rank may take of its device
  std::string budget_text;                 ///< the option as given, for messages: "--vram 24"
};

/// How a render fits its budget.
struct MemoryPlan {
  RankLayout layout;
  MemoryMeans means;
  std::vector<RankMemory> ranks;

  /// Of the rank that takes most.
  int64_t device_bytes() const;
};

/// The means and layout that cost least and keep every rank within the budget: one after the other, each time
/// all layouts, the fastest first: weights whole, then divided over the ranks; weights in 8 bits; windows of
/// the attention caches in 8 bits; these windows in host memory, in the network's own type, of as few layers
/// as possible; the condition's rows there too, and the decoder's state, each first with windows in 8 bits,
/// which are faster then, and without, which takes less. Throws InputError that names the smallest budget
/// that would do, and with which options, if nothing fits.
MemoryPlan plan_memory(const MemoryRequest& request);

/// What plan_memory() tries, the cheapest means first: for each of them the fastest layout that fits, or,
/// where none does, the one that takes least.
std::vector<MemoryPlan> memory_ladder(const MemoryRequest& request);

/// The options of `render` that ask for this plan whatever the budget, each with its dashes.
std::vector<std::string> plan_options(const MemoryPlan& plan);

/// The layers of each stage: "22,18".
std::string stage_sizes_text(const RankLayout& layout);

/// A budget in GiB as bytes, and as it was given ("24", "10.92").
int64_t budget_bytes(double gib);
std::string budget_text(double gib);

/// plan_options() in one line; "no further options" if there are none.
std::string plan_options_text(const MemoryPlan& plan);

}  // namespace latentcast
