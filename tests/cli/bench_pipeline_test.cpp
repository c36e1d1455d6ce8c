// `latentcast bench pipeline`: the list of layouts, what is compared, and whole runs of the program on CPUs.
// What is measured is not judged.

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "cli/bench_layouts.h"
#include "cli/bench_ratios.h"
#include "program.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "latentcast/error.h"

namespace latentcast::test {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string refusal(const std::string& text, int world_size) {
  try {
    parse_bench_layout(text, world_size);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(BenchLayout, IsReadFromItsName) {
  const BenchLayout plain = parse_bench_layout("layers", 3);
  EXPECT_EQ(plain.name, "layers@3/off");
  EXPECT_EQ(plain.split, Split::kLayers);
  EXPECT_EQ(plain.partition.kind, LayerPartition::Kind::kBalanced);
  const BenchLayout sharded = parse_bench_layout("timestep+shard@2/stream", 4);
  EXPECT_EQ(sharded.name, "timestep+shard@2/stream");
  EXPECT_EQ(sharded.ranks, 2);
  EXPECT_TRUE(sharded.shard);
  EXPECT_EQ(sharded.decoder, BenchDecoder::kStream);
  EXPECT_EQ(sharded.gather, GatherWay::kAuto);
  const BenchLayout collective = parse_bench_layout("timestep+shard-collective", 2);
  EXPECT_TRUE(collective.shard);
  EXPECT_EQ(collective.gather, GatherWay::kCollective);
  EXPECT_EQ(collective.sends, SendWay::kAuto);
  const BenchLayout by_nccl = parse_bench_layout("layers+21-19+nccl/stream", 2);
  EXPECT_EQ(by_nccl.sends, SendWay::kNccl);
  EXPECT_EQ(by_nccl.name, "layers+21-19+nccl@2/stream");
  EXPECT_THAT(by_nccl.partition.given, testing::ElementsAre(21, 19));
  EXPECT_EQ(parse_bench_layout("one/after", 4).name, "one/after");
  EXPECT_EQ(parse_bench_layout("one", 4).ranks, 1);
  EXPECT_EQ(parse_bench_layout("layers+even/rank", 4).partition.kind, LayerPartition::Kind::kEven);
  EXPECT_THAT(parse_bench_layout("layers+12-18-10", 4).partition.given, ElementsAre(12, 18, 10));
  for (const std::string& name : default_bench_layouts(4, 4, 40)) {
    EXPECT_NO_THROW(parse_bench_layout(name, 4)) << name;
  }
  EXPECT_THAT(default_bench_layouts(1, 4, 40), ElementsAre("one/off", "one/stream", "one/after"));
}

TEST(BenchLayout, IsRefusedIfItIsNone) {
  for (const char* text : {"", "two", "one+shard", "timestep+even", "layers+", "layers+3-x", "layers+3--1"}) {
    EXPECT_THAT(refusal(text, 4), HasSubstr("names no")) << text;
  }
  EXPECT_THAT(refusal("layers/beside", 4), HasSubstr("names no way to decode"));
  EXPECT_THAT(refusal("layers@5", 4), HasSubstr("the 4 that were started"));
  EXPECT_THAT(refusal("layers@x", 4), HasSubstr("number of ranks"));
  EXPECT_THAT(refusal("layers@1/rank", 4), HasSubstr("number of ranks"));
}

TEST(BenchBlocks, AreMeasuredWhileThePipelineIsFull) {
  const auto blocks = [](const char* name, int world_size) {
    const RankLayout layout = lay_out_bench(parse_bench_layout(name, world_size), {}, 4, 40);
    return blocks_to_run(layout, 6);
  };
  EXPECT_EQ(blocks("one", 1).measured(), 6);
  EXPECT_EQ(blocks("one", 1).all, 2 + 6 + 1);
  EXPECT_EQ(blocks("timestep", 4).measured(), 6);
  EXPECT_EQ(blocks("timestep", 4).first_end, 8);
  const BenchBlocks layers = blocks("layers/stream", 3);  // five blocks under way
  EXPECT_EQ(layers.measured(), 10) << "whole turns";
  EXPECT_EQ(layers.first_end, 10);
  EXPECT_EQ(layers.all, 10 + 10 + 5);
}

MeasuredLayout measured(const char* name, double period, double allowed) {
  return {parse_bench_layout(name, 2), period, allowed};
}

TEST(BenchRatios, CompareWhatIsAlike) {
  const json ratios =
      json::parse(compare_layouts({measured("one/off", 4, 4), measured("one/stream", 4.4, 4.5),
                                   measured("one/after", 5, 4.5), measured("timestep/off", 2.2, 2),
                                   measured("timestep+shard/off", 2.31, 2),
                                   measured("timestep/stream", 2.5, 2.5), measured("layers/rank", 2.2, 2.0)})
                      .dump());
  const json& speedup = ratios.at("speedup");
  EXPECT_EQ(speedup.size(), 4u);
  EXPECT_EQ(speedup.at("timestep@2/off").at("over"), "one/off");
  EXPECT_NEAR(speedup.at("timestep@2/off").at("speedup").get<double>(), 4 / 2.2, 1e-12);
  EXPECT_NEAR(speedup.at("timestep@2/off").at("of_allowed").get<double>(), 2 / 2.2, 1e-12);
  EXPECT_NEAR(speedup.at("timestep@2/stream").at("allowed").get<double>(), 4.5 / 2.5, 1e-12);
  EXPECT_EQ(speedup.at("layers@2/rank").at("over"), "one/stream");
  ASSERT_EQ(ratios.at("sharded_against_whole").size(), 1u);
  EXPECT_NEAR(ratios["sharded_against_whole"]["timestep+shard@2/off"].at("slower").get<double>(), 0.05,
              1e-12);
  ASSERT_EQ(ratios.at("beside_against_after").size(), 1u);
  EXPECT_NEAR(ratios["beside_against_after"]["one/stream"].at("time").get<double>(), 0.88, 1e-12);
}

TEST(BenchRatios, AreLeftOutWhereSomethingIsMissing) {
  const json ratios = json::parse(
      compare_layouts({measured("one/stream", 0, 4.5), measured("one/after", 5, 4.5),
                       measured("timestep/stream", 2.5, 2.5), measured("timestep+shard/off", 2.3, 2)})
          .dump());
  EXPECT_EQ(ratios.at("speedup").size(), 1u);
  EXPECT_EQ(ratios.at("speedup").at("timestep@2/stream").at("over"), "one/after")
      << "the stream's didn't fit";
  EXPECT_THAT(ratios.at("sharded_against_whole"), IsEmpty());
  EXPECT_THAT(ratios.at("beside_against_after"), IsEmpty());
}

ProgramResult bench(int ranks, const std::vector<std::string>& more) {
  std::vector<std::string> command = {"mpirun", "-n", std::to_string(ranks),
                                      std::getenv("LATENTCAST_PROGRAM")};
  for (const char* word : {"bench", "pipeline", "--model", "tiny", "--size", "64*64", "--device", "cpu",
                           "--threads", "1", "--repeats", "1", "--blocks", "2"}) {
    command.emplace_back(word);
  }
  command.insert(command.end(), more.begin(), more.end());
  return run_program(command);
}

json report_of(int ranks, const std::vector<std::string>& more) {
  const ProgramResult result = bench(ranks, more);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.exit_code == 0 ? json::parse(result.out) : json();
}

const json& layout_named(const json& report, const std::string& name) {
  for (const json& layout : report.at("layouts")) {
    if (layout.at("name") == name) return layout;
  }
  throw std::runtime_error(name + " is not in the report");
}

int64_t layers_bytes(const json& layout) {
  int64_t sum = 0;
  for (const json& rank : layout.at("per_rank")) sum += rank.at("weights_bytes").at("layers").get<int64_t>();
  return sum;
}

void expect_well_formed(const json& layout) {
  SCOPED_TRACE(layout.dump());
  EXPECT_FALSE(layout.contains("error"));
  EXPECT_EQ(layout.at("per_rank").size(), layout.at("layout").at("world_size").get<size_t>());
  EXPECT_GE(layout.at("blocks").at("measured").get<int>(), 2);
  const double period = layout.at("period_ms");
  EXPECT_GT(period, 0);
  EXPECT_NEAR(layout.at("frames_per_second").get<double>() * period, 12000, 1e-6);
  EXPECT_NEAR(layout.at("of_allowed").get<double>() * period, layout.at("allowed_period_ms").get<double>(),
              1e-6);
  const bool sharded = layout.at("layout").at("shard");
  for (const json& rank : layout.at("per_rank")) {
    double waited = 0;
    for (const json& kind : rank.at("waited")) {
      EXPECT_GE(kind.get<double>(), 0);
      waited += kind.get<double>();
    }
    EXPECT_LE(waited, 1 + 1e-9);
    if (!sharded) EXPECT_EQ(rank.at("waited").at("gathers"), 0);
    EXPECT_EQ(rank.contains("gathers"), sharded);
    EXPECT_GT(rank.at("work_ms"), 0);
    EXPECT_GE(rank.at("weights_bytes").at("transformer"), rank.at("weights_bytes").at("layers"));
  }
}

TEST(BenchPipeline, FitsALayoutIntoABudget) {
  const json report = report_of(2, {"--vram", "1", "--layouts", "one/stream", "--fp8"});
  ASSERT_FALSE(report.is_null());
  EXPECT_FALSE(report.contains("S_ms"));
  const json& plan = report.at("layouts").at(0).at("plan");
  EXPECT_THAT(plan.at("options"), ElementsAre("--fp8"));
  EXPECT_EQ(plan.at("budget_bytes"), int64_t{1} << 30);
  const int64_t there = plan.at("estimate").at(0).at("device_bytes");
  // Without a layout one is chosen, and with less room other means; blocks in batches come out too.
  char less[32];
  std::snprintf(less, sizeof less, "%.9f", static_cast<double>(there) * 0.45 / (1 << 30));
  const json chosen = report_of(2, {"--vram", less, "--decode", "batch"});
  ASSERT_FALSE(chosen.is_null());
  const json& layout = chosen.at("layouts").at(0);
  EXPECT_EQ(layout.at("layout").at("world_size"), 2);
  EXPECT_THAT(layout.at("plan").at("options"), testing::Contains("--offload_kv_cache"));
  const ProgramResult refused = bench(2, {"--vram", "0.00001"});
  EXPECT_EQ(refused.exit_code, 64);
  EXPECT_THAT(refused.err, HasSubstr("The least that would do is"));
}

TEST(BenchPipeline, MeasuresTheDefaultListOnTwoRanks) {
  const json report = report_of(2, {});
  ASSERT_FALSE(report.is_null());
  EXPECT_GT(report.at("S_ms"), 0);
  EXPECT_GT(report.at("D_ms"), 0);
  EXPECT_EQ(report.at("layouts").size(), 10u);
  for (const json& layout : report.at("layouts")) expect_well_formed(layout);
  const int64_t whole = layers_bytes(layout_named(report, "one/off"));
  EXPECT_EQ(layers_bytes(layout_named(report, "timestep@2/off")), 2 * whole);
  EXPECT_EQ(layers_bytes(layout_named(report, "layers@2/off")), whole);
  EXPECT_EQ(layers_bytes(layout_named(report, "layers+even@2/off")), whole);
  for (const json& rank : layout_named(report, "timestep+shard@2/off").at("per_rank")) {
    EXPECT_GT(rank.at("waited").at("gathers"), 0);
    EXPECT_EQ(rank.at("gathers"), "mpi");
  }
  const json& decoding = layout_named(report, "timestep@2/stream").at("per_rank");
  EXPECT_EQ(decoding[0].at("weights_bytes").at("decoder"), 0);
  EXPECT_GT(decoding[1].at("weights_bytes").at("decoder"), 0);
  const json& ratios = report.at("ratios");
  EXPECT_EQ(ratios.at("speedup").size(), 7u);
  EXPECT_EQ(ratios.at("sharded_against_whole").size(), 2u);
  EXPECT_EQ(ratios.at("beside_against_after").size(), 1u);
}

TEST(BenchPipeline, MeasuresFewerRanksThanWereStarted) {
  const TemporaryFolder folder;
  const std::string file = folder.path() / "bench.json";
  const json report = report_of(
      3, {"--layouts", "one/stream,timestep+shard@2/stream,layers@2/rank,timestep/rank,timestep@2/after",
          "--json", file});
  ASSERT_FALSE(report.is_null());
  ASSERT_EQ(report.at("layouts").size(), 5u);
  for (const json& layout : report.at("layouts")) expect_well_formed(layout);
  EXPECT_EQ(layout_named(report, "layers@2/rank").at("layout").at("layers_per_stage"), json({4}));
  EXPECT_EQ(layout_named(report, "timestep@3/rank").at("layout").at("decoder").at("rank"), 2);
  EXPECT_EQ(report.at("ratios").at("speedup").size(), 4u);
  std::ifstream written(file);
  EXPECT_EQ(json::parse(written), report);
}

TEST(BenchPipeline, MeasuresLayersOnFourRanks) {
  const json report =
      report_of(4, {"--layouts", "layers+1-1-1-1,layers/stream,layers/rank,timestep+shard/stream"});
  ASSERT_FALSE(report.is_null());
  for (const json& layout : report.at("layouts")) expect_well_formed(layout);
  EXPECT_EQ(layout_named(report, "layers+1-1-1-1@4/off").at("layout").at("layers_per_stage"),
            json({1, 1, 1, 1}));
  EXPECT_EQ(layout_named(report, "layers@4/rank").at("layout").at("stages").size(), 3u);
  EXPECT_THAT(report.at("ratios").at("speedup"), IsEmpty()) << "no single rank to compare with";
}

TEST(BenchPipeline, RefusesWhatItCannotMeasure) {
  EXPECT_THAT(bench(2, {"--layouts", "layers@3"}), testing::Field(&ProgramResult::exit_code, 64));
  const ProgramResult partition = bench(2, {"--layouts", "layers+3-2"});
  EXPECT_EQ(partition.exit_code, 64);
  EXPECT_THAT(partition.err, HasSubstr("--layer_partition"));
}

}  // namespace
}  // namespace latentcast::test
