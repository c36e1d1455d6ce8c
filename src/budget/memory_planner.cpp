#include "latentcast/budget/memory_planner.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr size_t kPartsNamed = 5;

/// All layouts that do what was asked, the fastest first; of equally fast ones that with whole weights.
std::vector<RankLayout> layouts_to_try(const LayoutRequest& request) {
  std::vector<RankLayout> layouts{make_layout(request)};
  const auto consider = [&](const LayoutRequest& one) {
    try {
      RankLayout layout = make_layout(one);
      if (std::find(layouts.begin(), layouts.end(), layout) == layouts.end()) {
        layouts.push_back(std::move(layout));
      }
    } catch (const InputError&) {
      // It needs another number of ranks.
    }
  };
  if (request.world_size == 1) return layouts;
  const bool open_cut = request.partition.kind == LayerPartition::Kind::kBalanced;
  if (request.split.value_or(Split::kTimestep) == Split::kTimestep && open_cut) {
    LayoutRequest one = request;
    one.split = Split::kTimestep;
    for (const bool shard : {false, true}) {
      one.shard = request.shard.value_or(shard);
      consider(one);
    }
  }
  if (request.split.value_or(Split::kLayers) == Split::kLayers && !request.shard.value_or(false)) {
    LayoutRequest one = request;
    one.split = Split::kLayers;
    consider(one);
    if (open_cut) {
      one.partition.kind = LayerPartition::Kind::kEven;
      consider(one);
      one.partition.kind = LayerPartition::Kind::kGiven;
      for (int64_t first = 1; first < request.layers; ++first) {
        one.partition.given = {first, request.layers - first};  // two stages can be cut anywhere
        consider(one);
      }
    }
  }
  std::stable_sort(layouts.begin(), layouts.end(),
                   [](const auto& a, const auto& b) { return block_period(a) < block_period(b); });
  return layouts;
}

/// Ways to save memory in the order in which they are tried, each with those before it; how many layers'
/// windows stay on the device is looked for.
std::vector<MemoryMeans> means_to_try(const MemoryRequest& request) {
  std::vector<MemoryMeans> ladder{request.given};
  const auto add = [&](const auto& change) {
    MemoryMeans next = ladder.back();
    change(next);
    if (request.content_fixed) next.fp8 = request.given.fp8, next.cache.fp8 = request.given.cache.fp8;
    if (request.given.cache.packed) next.cache = request.given.cache;  // none of the others goes with it
    if (!(next == ladder.back())) ladder.push_back(next);
  };
  const bool given = request.given.cache.fp8;
  if (request.fp8_works) add([](MemoryMeans& means) { means.fp8 = true; });
  add([](MemoryMeans& means) { means.cache.fp8 = true; });
  // From the host the link keeps up with the network's own type, and unpacking 8 bits would take time and
  // room; with the condition's rows it no longer does.
  add([&](MemoryMeans& means) { means.cache.on_host = true, means.cache.fp8 = given; });
  add([](MemoryMeans& means) { means.audio_encoder_on_host = true; });
  add([](MemoryMeans& means) { means.cache.condition_on_host = means.cache.fp8 = true; });
  add([&](MemoryMeans& means) { means.cache.fp8 = given; });
  add([](MemoryMeans& means) { means.decoder_state_on_host = means.cache.fp8 = true; });
  add([&](MemoryMeans& means) { means.cache.fp8 = given; });
  for (int64_t buffers = request.given.cache.buffers - 1; buffers > 0; --buffers) {
    add([&](MemoryMeans& means) { means.cache.buffers = buffers; });
  }
  return ladder;
}

class Planner {
 public:
  explicit Planner(const MemoryRequest& request) : request_(request) {}

  MemoryPlan run() {
    const std::vector<RankLayout> layouts = all_layouts();
    for (const MemoryMeans& means : means_to_try(request_)) {
      if (auto plan = fastest(layouts, means)) return *std::move(plan);
    }
    refuse();
  }

  std::vector<MemoryPlan> ladder() {
    const std::vector<RankLayout> layouts = all_layouts();
    std::vector<MemoryPlan> plans;
    for (const MemoryMeans& means : means_to_try(request_)) {
      least_.reset();
      auto plan = fastest(layouts, means);
      plans.push_back(plan ? *std::move(plan) : *least_);
    }
    return plans;
  }

 private:
  std::vector<RankLayout> all_layouts() const {
    return request_.fixed_layout ? std::vector<RankLayout>{*request_.fixed_layout}
                                 : layouts_to_try(request_.layout);
  }

  /// The first that fits, if there is one.
  std::optional<MemoryPlan> fastest(const std::vector<RankLayout>& layouts, const MemoryMeans& means) {
    for (const RankLayout& layout : layouts) {
      if (auto plan = with_most_layers(layout, means)) return plan;
    }
    return std::nullopt;
  }

  /// As many layers' windows on the device as there is room for; none if it doesn't fit without any.
  std::optional<MemoryPlan> with_most_layers(const RankLayout& layout, MemoryMeans means) {
    const bool open = means.cache.on_host && !request_.given.cache.on_host;
    int64_t most = 0;
    for (const StagePlan& stage : layout.stages) most = std::max(most, stage.layers.size());
    std::optional<MemoryPlan> best;
    int64_t fits = -1, too_many = most;  // by halving: more layers take more room
    if (!open) return within_budget(layout, means);
    while (fits + 1 < too_many) {
      means.cache.device_layers = (fits + too_many) / 2;
      if (auto plan = within_budget(layout, means)) {
        best = std::move(plan);
        fits = means.cache.device_layers;
      } else {
        too_many = means.cache.device_layers;
      }
    }
    return best;
  }

  std::optional<MemoryPlan> within_budget(const RankLayout& layout, const MemoryMeans& means) {
    MemoryPlan plan{layout, means, estimate_memory(request_.model, request_.work, layout, means)};
    const int64_t bytes = plan.device_bytes();
    if (!least_ || bytes < least_->device_bytes()) least_ = plan;
    return bytes <= request_.budget ? std::optional(std::move(plan)) : std::nullopt;
  }

  [[noreturn]] void refuse() const {
    const std::string ranks = least_->layout.world_size == 1
                                  ? "one GPU"
                                  : "each of " + std::to_string(least_->layout.world_size) + " GPUs";
    const auto most =
        std::max_element(least_->ranks.begin(), least_->ranks.end(),
                         [](const auto& a, const auto& b) { return a.device_bytes() < b.device_bytes(); });
    throw InputError(request_.budget_text + ": that is too little. The least that would do is " +
                     gib_text(least_->device_bytes()) + " on " + ranks + ", with " +
                     plan_options_text(*least_) + " (" + largest_parts(*most, kPartsNamed) +
                     "). Give as much, start more ranks, or choose a smaller --size" +
                     (request_.content_fixed
                          ? "; the run that is continued has its --fp8 and --kv_dtype, which can't change"
                          : "") +
                     "; latentcast plan without --vram shows all parts");
  }

  const MemoryRequest& request_;
  std::optional<MemoryPlan> least_;  // of all that were looked at, the one that takes least
};

}  // namespace

std::string stage_sizes_text(const RankLayout& layout) {
  std::string text;
  for (const StagePlan& stage : layout.stages) {
    text += (text.empty() ? "" : ",") + std::to_string(stage.layers.size());
  }
  return text;
}

int64_t MemoryPlan::device_bytes() const {
  int64_t most = 0;
  for (const RankMemory& rank : ranks) most = std::max(most, rank.device_bytes());
  return most;
}

MemoryPlan plan_memory(const MemoryRequest& request) { return Planner(request).run(); }

std::vector<MemoryPlan> memory_ladder(const MemoryRequest& request) { return Planner(request).ladder(); }

int64_t budget_bytes(double gib) { return static_cast<int64_t>(gib * static_cast<double>(int64_t{1} << 30)); }

std::string budget_text(double gib) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", gib);
  return text;
}

std::vector<std::string> plan_options(const MemoryPlan& plan) {
  std::vector<std::string> options;
  const MemoryMeans& means = plan.means;
  const auto add = [&](bool wanted, const std::string& option) {
    if (wanted) options.push_back(option);
  };
  const bool several = plan.layout.world_size > 1, layers = plan.layout.split == Split::kLayers;
  add(several, layers ? "--split layers" : "--split timestep");
  add(several && layers, "--layer_partition " + stage_sizes_text(plan.layout));
  add(several, plan.layout.decoder == DecoderPlace::kRank ? "--decoder rank" : "--decoder stream");
  add(plan.layout.shard, "--shard on");
  add(means.fp8, "--fp8");
  add(means.cache.packed, "--attention fp8");
  add(means.cache.fp8, "--kv_dtype fp8");
  add(means.cache.on_host, "--offload_kv_cache");
  add(means.cache.on_host && means.cache.device_layers > 0,
      "--kv_layers_on_device " + std::to_string(means.cache.device_layers));
  add(means.cache.buffers != CacheMeans{}.buffers, "--kv_buffers " + std::to_string(means.cache.buffers));
  add(means.cache.condition_on_host, "--offload_condition_cache");
  add(means.decoder_state_on_host, "--offload_decoder_state");
  add(means.audio_encoder_on_host, "--offload_audio_encoder");
  return options;
}

std::string plan_options_text(const MemoryPlan& plan) {
  std::string text;
  for (const std::string& option : plan_options(plan)) {
    if (!text.empty()) text += ' ';
    text += option;
  }
  return text.empty() ? "no further options" : text;
}

}  // namespace latentcast
