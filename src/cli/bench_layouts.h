#pragma once

#include <optional>
#include <string>
#include <vector>

#include "latentcast/comm/communicator.h"
#include "latentcast/pipeline/layout.h"

namespace latentcast {

/// What becomes of finished blocks: nothing; decoded beside the denoising, on a rank of its own, or in line
/// with the denoising that follows.
enum class BenchDecoder { kOff, kStream, kRank, kAfter };

/// A layout that is to be measured: WORK[@RANKS][/DECODER], as "one", "timestep+shard",
/// "timestep+shard-collective", "layers@2/stream", "layers+even", "layers+12-28", "layers+nccl".
struct BenchLayout {
  std::string name;  ///< with ranks and decoder, in one way only
  int ranks = 1;     ///< the first ones of the run
  Split split = Split::kTimestep;
  bool shard = false;
  GatherWay gather = GatherWay::kAuto;  ///< of shards
  SendWay sends = SendWay::kAuto;       ///< between GPUs
  LayerPartition partition;
  BenchDecoder decoder = BenchDecoder::kOff;
};

/// Throws InputError unless it is one, for a run of so many ranks.
BenchLayout parse_bench_layout(const std::string& text, int world_size);

/// The same for a layout of all ranks of a run, with decoding beside the denoising or, `in_turn`, after it.
BenchLayout bench_layout_of(const RankLayout& layout, bool in_turn);

/// What is measured if nothing is named.
std::vector<std::string> default_bench_layouts(int world_size, int64_t timesteps, int64_t layers);

/// Who does what, with these costs. Throws InputError as make_layout() does.
RankLayout lay_out_bench(const BenchLayout& bench, const LayoutCosts& costs, int64_t timesteps,
                         int64_t layers);

/// Which blocks are measured, so that the pipeline is full and turns of all blocks under way count alike.
struct BenchBlocks {
  int64_t first_end = 0;  ///< the time begins at this block's end
  int64_t last_end = 0;   ///< and ends at this one's
  int64_t all = 0;

  int64_t measured() const { return last_end - first_end; }
};

/// At least `measured` blocks.
BenchBlocks blocks_to_run(const RankLayout& layout, int64_t measured);

}  // namespace latentcast
