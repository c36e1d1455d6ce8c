#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace latentcast {

enum class Split { kTimestep, kLayers };
enum class DecoderPlace { kRank, kStream };

/// A range of whole numbers, `end` not included.
struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

/// What a stage of a pipeline does: these timesteps for these layers. By timestep: all layers; by layers: all
/// timesteps.
struct StagePlan {
  int rank = 0;
  Range timesteps, layers;
  bool operator==(const StagePlan&) const = default;
};

/// What was asked of the layout; nullopt is automatic.
struct LayoutRequest {
  int world_size = 1;
  std::optional<int> num_gpus_dit;  ///< stages
  std::optional<DecoderPlace> decoder;
  std::optional<Split> split;
  std::optional<bool> shard;
  int64_t timesteps = 4, layers = 40;
};

/// Who does what in one render. Derived once, validated, printed, written to report.json, and used by the
/// runtime.
struct RankLayout {
  int world_size = 1;
  Split split = Split::kTimestep;
  bool shard = false;  ///< weights divided over the stages' ranks, gathered by layer; never for one stage
  std::vector<StagePlan> stages;  ///< in the order in which a block passes through them
  DecoderPlace decoder = DecoderPlace::kStream;
  int decoder_rank = 0;  ///< the last stage's rank, or one of its own

  int stage_of(int rank) const;  ///< −1: none
  bool decodes(int rank) const { return rank == decoder_rank; }
  bool operator==(const RankLayout&) const = default;
};

/// Derives the layout. Stages are as even as they go, the longer ones first; stage s is on rank s, a decode
/// rank is the last one. Automatic: by timestep, whole weights, and of the two layouts that use every rank
/// (all ranks stages, or all but a decode rank) the one with the shorter block_period(); a decode rank if
/// they are equal, since it saves a copy of the weights. Throws InputError that names the useful numbers of
/// ranks if there is nothing for some rank to do, or if the wishes contradict each other.
RankLayout make_layout(const LayoutRequest& request);

/// How long the busiest rank works on a block, in steps (a step: one timestep, all layers; decoding a block
/// counts as half a step, which a stream takes from the last stage). What automatic compares.
double block_period(const RankLayout& layout);

/// A line a rank: rank, host, device, timesteps, layers, role, share of the weights.
std::string layout_table(const RankLayout& layout, const std::vector<std::string>& hosts,
                         const std::vector<std::string>& devices);

/// The layout as it is written to layout.json and report.json; no newline at its end.
std::string layout_json(const RankLayout& layout);

}  // namespace latentcast
