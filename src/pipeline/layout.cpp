#include "latentcast/pipeline/layout.h"

#include <algorithm>
#include <string>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr double kDecodeSteps = 0.5;  // decoding a block takes about half as long as a step of it

std::vector<Range> cut_evenly(int64_t units, int64_t parts) {
  std::vector<Range> ranges;
  for (int64_t i = 0, begin = 0; i < parts; ++i) {
    const int64_t size = units / parts + (i < units % parts ? 1 : 0);
    ranges.push_back({begin, begin + size});
    begin += size;
  }
  return ranges;
}

RankLayout lay_out(const LayoutRequest& request, Split split, int64_t stages, DecoderPlace decoder) {
  RankLayout layout;
  layout.world_size = request.world_size;
  layout.split = split;
  layout.shard = request.shard.value_or(false) && stages > 1;
  const bool by_timestep = split == Split::kTimestep;
  for (const Range& part : cut_evenly(by_timestep ? request.timesteps : request.layers, stages)) {
    const int rank = static_cast<int>(layout.stages.size());
    const Range timesteps = by_timestep ? part : Range{0, request.timesteps};
    const Range layers = by_timestep ? Range{0, request.layers} : part;
    layout.stages.push_back({rank, timesteps, layers});
  }
  layout.decoder = decoder;
  layout.decoder_rank = request.world_size - 1;
  return layout;
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
        most_stages_(by_timestep_ ? request.timesteps : request.layers) {}

  [[noreturn]] void refuse() const {
    if (request_.num_gpus_dit && *request_.num_gpus_dit > most_stages_) throw InputError(too_many_stages());
    if (request_.num_gpus_dit) throw InputError(other_number_of_ranks());
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

  std::string too_many_stages() const {
    std::string text = "--num_gpus_dit " + std::to_string(*request_.num_gpus_dit) + ": the work is " +
                       work() + ", so there can't be more stages than " + std::to_string(most_stages_) +
                       ". Give " + from_to(1, most_stages_);
    if (by_timestep_)
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
    if (by_timestep_) {
      text += ", or divide the work by layers (--split layers: " +
              useful_ranks(request_.layers, request_.decoder) + " ranks)";
    }
    return text + ".";
  }

  const LayoutRequest& request_;
  bool by_timestep_;
  int64_t most_stages_;
};

void check(const LayoutRequest& request, Split split) {
  if (request.world_size < 1 || request.timesteps < 1 || request.layers < 1) {
    throw InternalError("A layout needs at least one rank, one timestep and one layer.");
  }
  if (request.num_gpus_dit && *request.num_gpus_dit < 1) {
    throw InputError("--num_gpus_dit " + std::to_string(*request.num_gpus_dit) + ": it must be 1 or more.");
  }
  if (request.shard.value_or(false) && split == Split::kLayers) {
    throw InputError(
        "--shard on and --split layers contradict each other: by layers a rank has its own layers' weights "
        "only, and there is nothing to gather. Leave one out.");
  }
}

}  // namespace

int RankLayout::stage_of(int rank) const {
  const auto found = std::find_if(stages.begin(), stages.end(),
                                  [rank](const StagePlan& stage) { return stage.rank == rank; });
  return found == stages.end() ? -1 : static_cast<int>(found - stages.begin());
}

double block_period(const RankLayout& layout) {
  const auto layers = static_cast<double>(layout.stages.back().layers.end);
  double longest = kDecodeSteps;
  for (const StagePlan& stage : layout.stages) {
    double steps = static_cast<double>(stage.timesteps.size() * stage.layers.size()) / layers;
    if (layout.decodes(stage.rank)) steps += kDecodeSteps;
    longest = std::max(longest, steps);
  }
  return longest;
}

RankLayout make_layout(const LayoutRequest& request) {
  const Split split = request.split.value_or(Split::kTimestep);
  check(request, split);
  const int64_t most_stages = split == Split::kTimestep ? request.timesteps : request.layers;
  std::optional<RankLayout> best;
  for (const DecoderPlace decoder : {DecoderPlace::kRank, DecoderPlace::kStream}) {
    const int stages = request.world_size - (decoder == DecoderPlace::kRank ? 1 : 0);
    if (stages < 1 || stages > most_stages) continue;
    if (request.decoder.value_or(decoder) != decoder) continue;
    if (request.num_gpus_dit.value_or(stages) != stages) continue;
    RankLayout layout = lay_out(request, split, stages, decoder);
    if (!best || block_period(layout) < block_period(*best)) best = std::move(layout);
  }
  if (!best) Refusal(request, split).refuse();
  return *best;
}

}  // namespace latentcast
