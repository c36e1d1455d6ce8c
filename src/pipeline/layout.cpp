#include "latentcast/pipeline/layout.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "layer_cut.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr double kEqual =
    0.98;  // a layout is faster only if it takes less than this part of the other's time

std::vector<double> costs_of_layers(const LayoutRequest& request) {
  if (!request.costs.layers.empty()) return request.costs.layers;
  return std::vector<double>(static_cast<size_t>(request.layers), 1.0);
}

double sum(const std::vector<double>& costs, Range range) {
  return std::accumulate(costs.begin() + range.begin, costs.begin() + range.end, 0.0);
}

std::vector<Range> cut_as_given(const std::vector<int64_t>& sizes) {
  std::vector<Range> ranges;
  for (const int64_t size : sizes) {
    const int64_t begin = ranges.empty() ? 0 : ranges.back().end;
    ranges.push_back({begin, begin + size});
  }
  return ranges;
}

std::vector<Range> cut_layers(const LayoutRequest& request, int64_t stages, DecoderPlace decoder) {
  switch (request.partition.kind) {
    case LayerPartition::Kind::kGiven:
      return cut_as_given(request.partition.given);
    case LayerPartition::Kind::kEven:
      return cut_evenly(request.layers, stages);
    case LayerPartition::Kind::kBalanced:
      break;
  }
  const std::vector<double> costs = costs_of_layers(request);
  // A block's decoding in the layers' unit: a stage goes through its layers once a timestep.
  const double decode = decoder == DecoderPlace::kStream ? request.costs.decode_steps() : 0.0;
  const double step = sum(costs, {0, request.layers});
  return cut_balanced(costs, stages, decode * step / static_cast<double>(request.timesteps));
}

std::vector<double> work_of_ranks(const RankLayout& layout, const LayoutRequest& request) {
  const std::vector<double> costs = costs_of_layers(request);
  const double step = sum(costs, {0, request.layers});
  std::vector<double> work(static_cast<size_t>(layout.world_size), 0.0);
  for (const StagePlan& stage : layout.stages) {
    const double steps = static_cast<double>(stage.timesteps.size()) * sum(costs, stage.layers) / step;
    work[static_cast<size_t>(stage.rank)] += steps;
  }
  work[static_cast<size_t>(layout.decoder_rank)] += request.costs.decode_steps();
  return work;
}

RankLayout lay_out(const LayoutRequest& request, Split split, int64_t stages, DecoderPlace decoder) {
  RankLayout layout;
  layout.world_size = request.world_size;
  layout.split = split;
  layout.shard = request.shard.value_or(false) && stages > 1;
  const bool by_timestep = split == Split::kTimestep;
  for (const Range& part :
       by_timestep ? cut_evenly(request.timesteps, stages) : cut_layers(request, stages, decoder)) {
    const int rank = static_cast<int>(layout.stages.size());
    const Range timesteps = by_timestep ? part : Range{0, request.timesteps};
    const Range layers = by_timestep ? Range{0, request.layers} : part;
    layout.stages.push_back({rank, timesteps, layers});
  }
  layout.decoder = decoder;
  layout.decoder_rank = request.world_size - 1;
  layout.work = work_of_ranks(layout, request);
  return layout;
}

int64_t most_stages(const LayoutRequest& request, Split split) {
  return split == Split::kTimestep ? request.timesteps : request.layers;
}

bool is_given(const LayoutRequest& request) { return request.partition.kind == LayerPartition::Kind::kGiven; }

// In the order of preference.
std::vector<Split> splits_to_try(const LayoutRequest& request) {
  if (request.split) return {*request.split};
  if (request.shard.value_or(false)) return {Split::kTimestep};
  if (is_given(request)) return {Split::kLayers};
  return {Split::kTimestep, Split::kLayers};
}

Split split_with_most_stages(const LayoutRequest& request, const std::vector<Split>& splits) {
  return *std::max_element(splits.begin(), splits.end(), [&](Split a, Split b) {
    return most_stages(request, a) < most_stages(request, b);
  });
}

std::string counted(int64_t number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

std::string started(int world_size) {
  return counted(world_size, "rank") + (world_size == 1 ? " was started" : " were started");
}

std::string from_to(int64_t least, int64_t most) {
  return least == most ? std::to_string(least) : std::to_string(least) + " to " + std::to_string(most);
}

// The numbers of ranks that have something to do when there is work for so many stages.
std::string useful_ranks(int64_t most_stages, std::optional<DecoderPlace> decoder) {
  const int64_t least = decoder == DecoderPlace::kRank ? 2 : 1;
  const int64_t most = decoder == DecoderPlace::kStream ? most_stages : most_stages + 1;
  return from_to(least, most);
}

// Says why no layout does what was asked.
class Refusal {
 public:
  Refusal(const LayoutRequest& request, Split split)
      : request_(request),
        by_timestep_(split == Split::kTimestep),
        most_stages_(most_stages(request, split)) {}

  [[noreturn]] void refuse() const {
    if (request_.num_gpus_dit && *request_.num_gpus_dit > most_stages_) throw InputError(too_many_stages());
    if (request_.num_gpus_dit) throw InputError(other_number_of_ranks());
    if (is_given(request_)) throw InputError(other_number_of_parts());
    if (request_.decoder == DecoderPlace::kRank && request_.world_size == 1) {
      throw InputError("A decode rank (--decoder rank) needs a second rank, and " + started(1) + ". Start " +
                       useful_ranks(most_stages_, request_.decoder) + " ranks, or leave --decoder out.");
    }
    throw InputError(too_many_ranks());
  }

 private:
  std::string work() const {
    return by_timestep_ ? counted(most_stages_, "timestep") + " (--sample_steps)"
                        : counted(most_stages_, "layer");
  }

  bool layers_would_do() const {
    return by_timestep_ && request_.layers > most_stages_ && !request_.shard.value_or(false);
  }

  std::string other_number_of_parts() const {
    const auto stages = static_cast<int64_t>(request_.partition.given.size());
    return "--layer_partition names the layers of " + counted(stages, "stage") + ", and " +
           started(request_.world_size) + ". Start " + std::to_string(stages) + " (--decoder stream) or " +
           std::to_string(stages + 1) + " (--decoder rank), or name as many numbers as there are stages.";
  }

  std::string too_many_stages() const {
    std::string text = "--num_gpus_dit " + std::to_string(*request_.num_gpus_dit) + ": the work is " +
                       work() + ", so there can't be more stages than " + std::to_string(most_stages_) +
                       ". Give " + from_to(1, most_stages_);
    if (layers_would_do())
      text += ", or divide the work by layers (--split layers: " + from_to(1, request_.layers) + ")";
    return text + ".";
  }

  std::string other_number_of_ranks() const {
    const int stages = *request_.num_gpus_dit;
    const std::string with_rank = std::to_string(stages + 1), without = std::to_string(stages);
    std::string decoder, ranks = without + " ranks, or " + with_rank + " with a decode rank";
    if (request_.decoder == DecoderPlace::kRank) {
      decoder = " with a decode rank (--decoder rank, --enable_vae_parallel)";
      ranks = with_rank + " ranks";
    } else if (request_.decoder == DecoderPlace::kStream) {
      decoder = " with --decoder stream";
      ranks = counted(stages, "rank");
    }
    return "--num_gpus_dit " + without + decoder + " needs " + ranks + ", and " +
           started(request_.world_size) +
           ". Start as many, or leave --num_gpus_dit out: then the layout follows from the number of ranks "
           "(" +
           useful_ranks(most_stages_, request_.decoder) + ").";
  }

  std::string too_many_ranks() const {
    std::string text =
        started(request_.world_size) + ", but " + work() + " give work to " + counted(most_stages_, "stage");
    text += request_.decoder == DecoderPlace::kStream ? " at most, which decode too (--decoder stream)"
                                                      : " and a decode rank at most";
    text += ". Start " + useful_ranks(most_stages_, request_.decoder) + " ranks";
    if (layers_would_do()) {
      text += ", or divide the work by layers (--split layers: " +
              useful_ranks(request_.layers, request_.decoder) + " ranks)";
    }
    return text + ".";
  }

  const LayoutRequest& request_;
  bool by_timestep_;
  int64_t most_stages_;
};

void check_partition(const LayoutRequest& request) {
  const std::vector<int64_t>& given = request.partition.given;
  const int64_t sum = std::accumulate(given.begin(), given.end(), int64_t{0});
  if (std::any_of(given.begin(), given.end(), [](int64_t layers) { return layers < 1; }) ||
      sum != request.layers) {
    throw InputError("--layer_partition: give the number of layers of each stage, 1 or more, " +
                     std::to_string(request.layers) + " together; these are " + std::to_string(sum) + ".");
  }
}

void check(const LayoutRequest& request, const std::vector<Split>& splits) {
  if (request.world_size < 1 || request.timesteps < 1 || request.layers < 1) {
    throw InternalError("A layout needs at least one rank, one timestep and one layer.");
  }
  const size_t costs = request.costs.layers.size();
  if ((costs != 0 && costs != static_cast<size_t>(request.layers)) || !(request.costs.step > 0)) {
    throw InternalError("A layout needs the cost of a step, and of every layer or none.");
  }
  if (request.num_gpus_dit && *request.num_gpus_dit < 1) {
    throw InputError("--num_gpus_dit " + std::to_string(*request.num_gpus_dit) + ": it must be 1 or more.");
  }
  if (request.shard.value_or(false) && request.split == Split::kLayers) {
    throw InputError(
        "--shard on and --split layers contradict each other: by layers a rank has its own layers' weights "
        "only, and there is nothing to gather. Leave one out.");
  }
  if (!is_given(request)) return;
  if (splits != std::vector<Split>{Split::kLayers}) {
    throw InputError(
        "--layer_partition divides the layers, which --split timestep and --shard on leave together. Leave "
        "one out.");
  }
  check_partition(request);
}

}  // namespace

int RankLayout::stage_of(int rank) const {
  const auto found = std::find_if(stages.begin(), stages.end(),
                                  [rank](const StagePlan& stage) { return stage.rank == rank; });
  return found == stages.end() ? -1 : static_cast<int>(found - stages.begin());
}

int64_t RankLayout::blocks_under_way() const {
  const auto count = static_cast<int64_t>(stages.size());
  if (split == Split::kTimestep || count == 1) return count;
  double least = work.at(static_cast<size_t>(stages.front().rank)), most = least;
  for (const StagePlan& stage : stages) {
    least = std::min(least, work[static_cast<size_t>(stage.rank)]);
    most = std::max(most, work[static_cast<size_t>(stage.rank)]);
  }
  // Decoding comes in bursts, once a block: its delay must not reach round to the busiest stage.
  if (decodes(stages.back().rank)) return count + 2;
  return least < kEqual * most ? count + 1 : count;
}

double block_period(const RankLayout& layout) {
  return *std::max_element(layout.work.begin(), layout.work.end());
}

RankLayout make_layout(const LayoutRequest& request) {
  const std::vector<Split> splits = splits_to_try(request);
  check(request, splits);
  std::optional<RankLayout> best;
  for (const Split split : splits) {
    for (const DecoderPlace decoder : {DecoderPlace::kRank, DecoderPlace::kStream}) {
      const int stages = request.world_size - (decoder == DecoderPlace::kRank ? 1 : 0);
      if (stages < 1 || stages > most_stages(request, split)) continue;
      if (request.decoder.value_or(decoder) != decoder) continue;
      if (request.num_gpus_dit.value_or(stages) != stages) continue;
      if (is_given(request) && request.partition.given.size() != static_cast<size_t>(stages)) continue;
      RankLayout layout = lay_out(request, split, stages, decoder);
      if (!best || block_period(layout) < kEqual * block_period(*best)) best = std::move(layout);
    }
  }
  if (!best) Refusal(request, split_with_most_stages(request, splits)).refuse();
  return *best;
}

}  // namespace latentcast
