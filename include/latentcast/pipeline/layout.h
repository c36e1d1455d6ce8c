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

/// How long the parts of the work take. Only ratios count, and only for speed: every layout gives the same
/// bytes. The default is what docs/benchmarks.md measured (H100, 14B, 704×384, bf16).
struct LayoutCosts {
  double step = 0.202;         ///< seconds of one timestep of a block, all layers
  double decode = 0.048;       ///< seconds of decoding a block's 3 latents
  std::vector<double> layers;  ///< what each layer takes, in any unit; empty: all the same. See layer_costs()

  double decode_steps() const { return decode / step; }
};

/// Where layers are cut into stages: by their costs, the decoder's share counted in; in equal numbers; or as
/// many layers a stage as asked.
struct LayerPartition {
  enum class Kind { kBalanced, kEven, kGiven };
  Kind kind = Kind::kBalanced;
  std::vector<int64_t> given;  ///< layers of each stage
};

/// What was asked of the layout; nullopt is automatic.
struct LayoutRequest {
  int world_size = 1;
  std::optional<int> num_gpus_dit;  ///< stages
  std::optional<DecoderPlace> decoder;
  std::optional<Split> split;
  std::optional<bool> shard;
  int64_t timesteps = 4, layers = 40;
  LayerPartition partition;  ///< by layers only; if given, automatic is by layers
  LayoutCosts costs;
};

/// Who does what in one render. Derived once, validated, printed, written to report.json, and used by the
/// runtime.
struct RankLayout {
  int world_size = 1;
  Split split = Split::kTimestep;
  bool shard = false;  ///< weights divided over the stages' ranks, gathered by layer; never for one stage
  std::vector<StagePlan> stages;  ///< in the order in which a block passes through them
  DecoderPlace decoder = DecoderPlace::kStream;
  int decoder_rank = 0;      ///< the last stage's rank, or one of its own
  std::vector<double> work;  ///< what each rank does for a block, in steps (one timestep, all layers)

  int stage_of(int rank) const;  ///< −1: none
  /// Blocks that are under way at once. By layers a stage waits for a block to come round: one block a stage
  /// keeps all busy where all take equally long, one more where they don't, two more where the last one
  /// also decodes. Each is tokens (32 MB at 704×384) that wait somewhere.
  int64_t blocks_under_way() const;
  bool decodes(int rank) const { return rank == decoder_rank; }
  bool operator==(const RankLayout&) const = default;
};

/// Derives the layout. Stage s is on rank s, a decode rank is the last one. By timestep stages are as even as
/// they go, the longer ones first; by layers as the partition says. Automatic: whole weights, and of the
/// layouts that use every rank (by timestep or by layers; all ranks stages, or all but a decode rank) the one
/// with the shortest block_period(). Those within 2 % count as equal: then by timestep, then with a decode
/// rank. Throws InputError that names the useful numbers of ranks if there is nothing for some rank to do, or
/// if the wishes contradict each other.
RankLayout make_layout(const LayoutRequest& request);

/// How long the busiest rank works on a block, in steps. What automatic compares.
double block_period(const RankLayout& layout);

/// A line a rank: rank, host, device, timesteps, layers, role, share of the weights, share of the work.
std::string layout_table(const RankLayout& layout, const std::vector<std::string>& hosts,
                         const std::vector<std::string>& devices);

/// The layout as it is written to layout.json and report.json; no newline at its end.
std::string layout_json(const RankLayout& layout);

}  // namespace latentcast
