#include "ranks_report.h"

#include <algorithm>

#include "files.h"
#include "program.h"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "latentcast/pipeline/schedule.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int64_t kAlignment = 256;  // of every tensor and part of a sharded layer
constexpr int64_t kFloatBytes = 4;

int64_t rounded_up(int64_t bytes, int64_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

Range range_of(const Json& json) { return {json.at(0), json.at(1)}; }

RankLayout layout_of(const Json& json) {
  RankLayout layout;
  layout.world_size = json.at("world_size");
  layout.split = json.at("split") == "layers" ? Split::kLayers : Split::kTimestep;
  layout.shard = json.at("shard");
  for (const Json& stage : json.at("stages")) {
    layout.stages.push_back(
        {stage.at("rank"), range_of(stage.at("timesteps")), range_of(stage.at("layers"))});
  }
  layout.decoder = json.at("decoder").at("place") == "rank" ? DecoderPlace::kRank : DecoderPlace::kStream;
  layout.decoder_rank = json.at("decoder").at("rank");
  layout.work = json.at("steps_per_block").get<std::vector<double>>();
  return layout;
}

Json checkpoint_config(const std::string& job) {
  const fs::path folder = job == "tiny" ? data_folder() / "tiny" : data_folder() / "cases" / job;
  return Json::parse(read_bytes(folder / "checkpoint" / "config.json"));
}

/// Bytes of one layer's weights in float32, each tensor rounded up, from the model's dimensions alone.
int64_t layer_bytes(const Json& config, int64_t layer) {
  const int64_t dim = config.at("dim"), ffn = config.at("ffn_dim");
  std::vector<int64_t> numbers = {6 * dim, dim,       dim, ffn * dim,
                                  ffn,     dim * ffn, dim};  // modulation, norm3, ffn
  const auto add_attention = [&] {
    for (int i = 0; i < 4; ++i) numbers.insert(numbers.end(), {dim * dim, dim});  // q, k, v, o
    numbers.insert(numbers.end(), {dim, dim});                                    // norms of q and k
  };
  add_attention();
  add_attention();
  const std::vector<int64_t> injected = config.at("audio_inject_layers");
  if (std::find(injected.begin(), injected.end(), layer) != injected.end()) {
    numbers.insert(numbers.end(), {2 * dim * dim, 2 * dim});
    add_attention();
  }
  int64_t bytes = 0;
  for (const int64_t count : numbers) bytes += rounded_up(count * kFloatBytes, kAlignment);
  return bytes;
}

/// What a rank gets from the others when it gathers a layer.
int64_t gathered_bytes(const Json& config, int64_t layer, int64_t ranks) {
  return rounded_up(layer_bytes(config, layer), ranks * kAlignment) / ranks * (ranks - 1);
}

void expect_layout(const RankLayout& layout, const RankCase& asked, int64_t layers) {
  EXPECT_EQ(layout.world_size, asked.ranks);
  const bool decode_rank = layout.decoder == DecoderPlace::kRank;
  ASSERT_EQ(layout.stages.size(), static_cast<size_t>(asked.ranks - (decode_rank ? 1 : 0)));
  EXPECT_EQ(layout.decoder_rank, asked.ranks - 1);
  if (asked.decoder) {
    EXPECT_EQ(layout.decoder, *asked.decoder);
  }
  if (asked.division != Division::kAuto) {
    EXPECT_EQ(layout.split == Split::kLayers, asked.division == Division::kLayers);
    EXPECT_EQ(layout.shard, asked.division == Division::kShard && layout.stages.size() > 1);
  }
  Range timesteps{0, 0}, all_layers{0, 0};
  for (size_t i = 0; i < layout.stages.size(); ++i) {
    const StagePlan& stage = layout.stages[i];
    EXPECT_EQ(stage.rank, static_cast<int>(i));
    const bool by_layers = layout.split == Split::kLayers;
    Range &divided = by_layers ? all_layers : timesteps, &whole = by_layers ? timesteps : all_layers;
    EXPECT_EQ((by_layers ? stage.layers : stage.timesteps).begin, divided.end);
    EXPECT_GT((by_layers ? stage.layers : stage.timesteps).size(), 0);
    divided.end = (by_layers ? stage.layers : stage.timesteps).end;
    whole = by_layers ? stage.timesteps : stage.layers;
  }
  EXPECT_EQ(timesteps, (Range{0, asked.sample_steps}));
  EXPECT_EQ(all_layers, (Range{0, layers}));
}

int64_t ticks_of(const RankLayout& layout, const ScheduleShape& shape) {
  StageWalk walk(layout, shape, 0);
  while (walk.next()) {
  }
  return walk.ticks();
}

/// What one rank must have counted.
Json expected_rank(const RankLayout& layout, const ScheduleShape& shape, const Json& config, int rank,
                   int64_t frames) {
  Json json = {{"rank", rank},        {"condition_passes", 0},
               {"block_passes", 0},   {"idle_passes", 0},
               {"ticks", 0},          {"layers_gathered", 0},
               {"bytes_gathered", 0}, {"frames_written", layout.decodes(rank) ? frames : 0}};
  const int number = layout.stage_of(rank);
  if (number < 0) return json;
  const StagePlan& stage = layout.stages[static_cast<size_t>(number)];
  const int64_t blocks = (shape.clips - 1) * shape.blocks_per_clip + shape.blocks_in_last_clip;
  const int64_t condition_passes = std::min<int64_t>(shape.clips, 2);
  const int64_t block_passes = blocks * stage.timesteps.size();
  json["condition_passes"] = condition_passes;
  json["block_passes"] = block_passes;
  json["ticks"] = ticks_of(layout, shape);
  if (!layout.shard) return json;
  int64_t longest = 0;
  for (const StagePlan& other : layout.stages) longest = std::max(longest, other.timesteps.size());
  const int64_t passes = json["ticks"].get<int64_t>() * longest, layers = stage.layers.end;
  const auto ranks = static_cast<int64_t>(layout.stages.size());
  const int64_t gathers = passes + 1;                // first, for the text's keys and values
  int64_t bytes = gathered_bytes(config, 0, ranks);  // begun for a pass that didn't come
  for (int64_t layer = 0; layer < layers; ++layer) bytes += gathers * gathered_bytes(config, layer, ranks);
  json["idle_passes"] = passes - condition_passes - block_passes;
  json["gathers"] = "mpi";
  json["layers_gathered"] = gathers * layers;
  json["bytes_gathered"] = bytes;
  return json;
}

}  // namespace

void expect_report(const fs::path& run_dir, const RankCase& rank_case) {
  const Json report = Json::parse(read_bytes(run_dir / "report.json"));
  const Json config = checkpoint_config(rank_case.job);
  const RankLayout layout = layout_of(report.at("layout"));
  expect_layout(layout, rank_case, config.at("num_layers"));
  const int64_t clips = report.at("clips"), blocks = rank_case.infer_frames / 12;
  if (rank_case.clips != 0) {
    EXPECT_EQ(clips, rank_case.clips);
  }
  const ScheduleShape shape{clips, blocks, rank_case.sample_steps, blocks};
  ASSERT_EQ(report.at("ranks").size(), static_cast<size_t>(rank_case.ranks));
  for (int rank = 0; rank < rank_case.ranks; ++rank) {
    Json got = report.at("ranks")[static_cast<size_t>(rank)];
    EXPECT_GT(got.at("peak_resident_bytes").get<int64_t>(), 0);
    const Json expected = expected_rank(layout, shape, config, rank, report.at("frames"));
    for (const auto& [field, value] : expected.items()) {
      EXPECT_EQ(got.at(field), value) << field << " of rank " << rank;
    }
  }
}

}  // namespace latentcast::test
