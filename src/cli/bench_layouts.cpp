#include "bench_layouts.h"

#include <algorithm>
#include <charconv>

#include "latentcast/error.h"

namespace latentcast {
namespace {

[[noreturn]] void refuse(const std::string& text, const std::string& why) {
  throw InputError(
      "--layouts: '" + text + "' " + why +
      ". Write WORK[@RANKS][/DECODER] with one, timestep, timestep+shard, timestep+shard-collective, layers, "
      "layers+even or layers+N-N-..., +nccl behind it, and off, stream, rank or after.");
}

/// A number from 1 up, 0 if it is none.
int number(const std::string& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? std::max(value, 0) : 0;
}

/// Cuts the text at the last `mark`; what is behind it is returned.
std::optional<std::string> take_behind(std::string& text, char mark) {
  const size_t at = text.rfind(mark);
  if (at == std::string::npos) return std::nullopt;
  std::string behind = text.substr(at + 1);
  text.resize(at);
  return behind;
}

BenchDecoder decoder_named(const std::string& name, const std::string& text) {
  if (name == "off") return BenchDecoder::kOff;
  if (name == "stream") return BenchDecoder::kStream;
  if (name == "rank") return BenchDecoder::kRank;
  if (name == "after") return BenchDecoder::kAfter;
  refuse(text, "names no way to decode");
}

const char* name_of(BenchDecoder decoder) {
  switch (decoder) {
    case BenchDecoder::kOff:
      return "off";
    case BenchDecoder::kStream:
      return "stream";
    case BenchDecoder::kRank:
      return "rank";
    case BenchDecoder::kAfter:
      break;
  }
  return "after";
}

LayerPartition partition_named(const std::string& name, const std::string& text) {
  if (name == "even") return {LayerPartition::Kind::kEven, {}};
  LayerPartition partition{LayerPartition::Kind::kGiven, {}};
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('-', begin), name.size());
    partition.given.push_back(number(name.substr(begin, end - begin)));
    if (partition.given.back() == 0) refuse(text, "names no partition of the layers");
    begin = end + 1;
  }
  return partition;
}

void set_work(BenchLayout& layout, std::string work, const std::string& text) {
  const std::optional<std::string> how = take_behind(work, '+');
  if (work == "one" && !how) {
    layout.ranks = 1;
  } else if (work == "timestep" && !how) {
    layout.shard = false;
  } else if (work == "timestep" && (how == "shard" || how == "shard-collective")) {
    layout.shard = true;
    layout.gather = how == "shard" ? GatherWay::kAuto : GatherWay::kCollective;
  } else if (work == "layers") {
    layout.split = Split::kLayers;
    if (how) layout.partition = partition_named(*how, text);
  } else {
    refuse(text, "names no way to divide the work");
  }
}

}  // namespace

BenchLayout parse_bench_layout(const std::string& text, int world_size) {
  BenchLayout layout;
  layout.ranks = world_size;
  std::string rest = text;
  if (const auto decoder = take_behind(rest, '/')) layout.decoder = decoder_named(*decoder, text);
  const std::optional<std::string> ranks = take_behind(rest, '@');
  if (ranks) layout.ranks = number(*ranks);
  std::string work = rest;
  if (work.ends_with("+nccl")) {
    layout.sends = SendWay::kNccl;
    take_behind(work, '+');
  }
  set_work(layout, work, text);
  const int least = layout.decoder == BenchDecoder::kRank ? 2 : 1;
  if (layout.ranks < least || layout.ranks > world_size) {
    refuse(text,
           "needs another number of ranks than the " + std::to_string(world_size) + " that were started");
  }
  layout.name = rest == "one" ? rest : rest + "@" + std::to_string(layout.ranks);
  layout.name += std::string("/") + name_of(layout.decoder);
  return layout;
}

BenchLayout bench_layout_of(const RankLayout& layout, bool in_turn) {
  std::string text = layout.shard ? "timestep+shard" : "timestep";
  if (layout.world_size == 1) {
    text = "one";
  } else if (layout.split == Split::kLayers) {
    text = "layers";
    for (const StagePlan& stage : layout.stages) {
      text += (stage.rank == 0 ? '+' : '-') + std::to_string(stage.layers.size());
    }
  }
  const bool of_its_own = layout.decoder == DecoderPlace::kRank;
  return parse_bench_layout(text + (of_its_own ? "/rank"
                                    : in_turn  ? "/after"
                                               : "/stream"),
                            layout.world_size);
}

std::vector<std::string> default_bench_layouts(int world_size, int64_t timesteps, int64_t layers) {
  std::vector<std::string> names = {"one/off", "one/stream", "one/after"};
  if (world_size == 1) return names;
  const auto add = [&](const std::vector<std::string>& more) {
    names.insert(names.end(), more.begin(), more.end());
  };
  if (world_size <= timesteps) {
    add({"timestep/off", "timestep/stream", "timestep+shard/off", "timestep+shard/stream"});
  }
  if (world_size <= layers) add({"layers/off", "layers/stream", "layers+even/off"});
  if (world_size > 2 && world_size - 1 <= timesteps) add({"timestep/rank"});
  if (world_size > 2 && world_size - 1 <= layers) add({"layers/rank"});
  return names;
}

RankLayout lay_out_bench(const BenchLayout& bench, const LayoutCosts& costs, int64_t timesteps,
                         int64_t layers) {
  LayoutRequest request;
  request.world_size = bench.ranks;
  request.split = bench.split;
  request.shard = bench.shard;
  request.decoder = bench.decoder == BenchDecoder::kRank ? DecoderPlace::kRank : DecoderPlace::kStream;
  request.timesteps = timesteps;
  request.layers = layers;
  request.partition = bench.partition;
  request.costs = costs;
  if (bench.decoder == BenchDecoder::kOff) request.costs.decode = 0;
  return make_layout(request);
}

BenchBlocks blocks_to_run(const RankLayout& layout, int64_t measured) {
  const int64_t under_way = layout.blocks_under_way();
  const int64_t turns = layout.split == Split::kLayers ? under_way : 1;
  BenchBlocks blocks;
  // The first of them fill the pipeline, and nothing is decoded beside them; the next are not the measured
  // ones yet.
  blocks.first_end = 2 * under_way;
  blocks.last_end = blocks.first_end + (measured + turns - 1) / turns * turns;
  // Until the last measured block ends, others follow it.
  blocks.all = blocks.last_end + under_way;
  return blocks;
}

}  // namespace latentcast
