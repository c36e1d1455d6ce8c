#include "latentcast/pipeline/layout.h"

#include <bit>

#include "pipeline/layer_cut.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "latentcast/error.h"
#include "latentcast/pipeline/layout_request.h"

namespace latentcast {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr auto kRank = DecoderPlace::kRank;
constexpr auto kStream = DecoderPlace::kStream;

LayoutRequest ranks(int world_size, Split split = Split::kTimestep, int64_t timesteps = 4,
                    int64_t layers = 40) {
  LayoutRequest request;
  request.world_size = world_size;
  request.split = split;
  request.timesteps = timesteps;
  request.layers = layers;
  request.costs.decode = request.costs.step / 2;
  return request;
}

LayoutRequest with(LayoutRequest request, std::optional<int> num_gpus_dit,
                   std::optional<DecoderPlace> decoder = std::nullopt) {
  request.num_gpus_dit = num_gpus_dit;
  request.decoder = decoder;
  return request;
}

LayoutRequest even(LayoutRequest request) {
  request.partition.kind = LayerPartition::Kind::kEven;
  return request;
}

LayoutRequest given(LayoutRequest request, std::vector<int64_t> layers) {
  request.split = Split::kLayers;
  request.partition = {LayerPartition::Kind::kGiven, std::move(layers)};
  return request;
}

std::vector<int64_t> sizes(const RankLayout& layout) {
  std::vector<int64_t> sizes;
  for (const StagePlan& stage : layout.stages) {
    sizes.push_back(layout.split == Split::kTimestep ? stage.timesteps.size() : stage.layers.size());
  }
  return sizes;
}

template <typename Action>
std::string refusal_of(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

std::string refusal(const LayoutRequest& request) {
  return refusal_of([&] { make_layout(request); });
}

TEST(Layout, OneRankDoesEverything) {
  for (const Split split : {Split::kTimestep, Split::kLayers}) {
    const RankLayout layout = make_layout(ranks(1, split));
    EXPECT_EQ(layout.stages, (std::vector<StagePlan>{{0, {0, 4}, {0, 40}}}));
    EXPECT_EQ(layout.decoder, kStream);
    EXPECT_TRUE(layout.decodes(0));
    EXPECT_EQ(layout.stage_of(0), 0);
    EXPECT_EQ(layout.stage_of(1), -1);
  }
}

TEST(Layout, FiveRanksAreThePublicLayout) {
  const RankLayout layout = make_layout(ranks(5));
  EXPECT_EQ(layout.stages,
            (std::vector<StagePlan>{
                {0, {0, 1}, {0, 40}}, {1, {1, 2}, {0, 40}}, {2, {2, 3}, {0, 40}}, {3, {3, 4}, {0, 40}}}));
  EXPECT_EQ(layout.decoder, kRank);
  EXPECT_EQ(layout.decoder_rank, 4);
  EXPECT_EQ(layout.stage_of(4), -1);
  EXPECT_FALSE(layout.shard);
  EXPECT_EQ(make_layout(with(ranks(5), 4, kRank)), layout);
}

TEST(Layout, StagesAreAsEvenAsTheyGoLongerOnesFirst) {
  EXPECT_THAT(sizes(make_layout(with(ranks(3), 3))), ElementsAre(2, 1, 1));
  EXPECT_THAT(sizes(make_layout(with(ranks(5, Split::kTimestep, 8), 5))), ElementsAre(2, 2, 2, 1, 1));
  EXPECT_THAT(sizes(make_layout(even(with(ranks(3, Split::kLayers), 3)))), ElementsAre(14, 13, 13));
  EXPECT_THAT(sizes(make_layout(even(with(ranks(7, Split::kLayers), 7)))), ElementsAre(6, 6, 6, 6, 6, 5, 5));
}

TEST(Layout, LayersAreCutByTheirCostAndTheDecoders) {
  // A layer's four timesteps take 0.1 of a step, decoding 0.5.
  const auto cut = [](int world_size, DecoderPlace decoder) {
    return sizes(make_layout(with(ranks(world_size, Split::kLayers), std::nullopt, decoder)));
  };
  EXPECT_THAT(cut(2, kStream), ElementsAre(23, 17));  // 2.3 and 2.2
  EXPECT_THAT(cut(3, kStream), ElementsAre(15, 15, 10));
  EXPECT_THAT(cut(4, kStream), ElementsAre(12, 11, 11, 6));
  EXPECT_THAT(cut(4, kRank), ElementsAre(14, 13, 13)) << "the decoder is elsewhere";
  EXPECT_THAT(cut(5, kRank), ElementsAre(10, 10, 10, 10));
  LayoutRequest dear = with(ranks(2, Split::kLayers), 2, kStream);
  dear.costs.decode = 5 * dear.costs.step;
  EXPECT_THAT(sizes(make_layout(dear)), ElementsAre(39, 1)) << "every stage has a layer";
  dear.costs.decode = 0;
  dear.costs.layers.assign(40, 1.0);
  dear.costs.layers[0] = 3;
  EXPECT_THAT(sizes(make_layout(dear)), ElementsAre(19, 21));
  dear.costs.layers.pop_back();
  EXPECT_THROW(make_layout(dear), InternalError);
}

TEST(Layout, LayersAreCutWhereAsked) {
  EXPECT_THAT(sizes(make_layout(given(with(ranks(2), 2), {14, 26}))), ElementsAre(14, 26));
  LayoutRequest request = given(ranks(3), {25, 15});
  request.split.reset();
  EXPECT_EQ(make_layout(request).split, Split::kLayers);
  EXPECT_EQ(make_layout(request).decoder, kRank);
  request.world_size = 4;
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("the layers of 2 stages"), HasSubstr("4 ranks were started"),
                                      HasSubstr("Start 2 (--decoder stream) or 3")));
  EXPECT_THAT(refusal(given(ranks(2), {20, 19})), AllOf(HasSubstr("40 together"), HasSubstr("these are 39")));
  EXPECT_THAT(refusal(given(ranks(2), {40, 0})), HasSubstr("1 or more"));
  request = given(ranks(2), {20, 20});
  request.split = Split::kTimestep;
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("--layer_partition"), HasSubstr("--split timestep")));
  request.split.reset();
  request.shard = true;
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("--layer_partition"), HasSubstr("--shard on")));
}

// Dearest range and sum of squares of a cut.
std::pair<double, double> judged(const std::vector<double>& costs, const std::vector<Range>& cut,
                                 double last) {
  double dearest = 0, squares = 0;
  for (const Range& range : cut) {
    double cost = &range == &cut.back() ? last : 0.0;
    for (int64_t i = range.begin; i < range.end; ++i) cost += costs[static_cast<size_t>(i)];
    dearest = std::max(dearest, cost);
    squares += cost * cost;
  }
  return {dearest, squares};
}

TEST(CutBalanced, IsTheBestOfAllCuts) {
  const std::vector<double> costs = {3, 1, 1, 4, 1, 5, 1, 2, 3};
  for (const double last : {0.0, 0.5, 4.0, 30.0}) {
    for (int64_t parts = 1; parts <= 4; ++parts) {
      const std::vector<Range> cut = cut_balanced(costs, parts, last);
      ASSERT_EQ(cut.size(), static_cast<size_t>(parts));
      auto best = judged(costs, cut, last);
      int64_t end = 0;
      for (const Range& range : cut) {
        EXPECT_EQ(range.begin, end);
        EXPECT_GT(range.size(), 0);
        end = range.end;
      }
      EXPECT_EQ(end, 9);
      for (unsigned ends = 0; ends < 256; ++ends) {  // a bit for each place to cut at
        if (std::popcount(ends) != parts - 1) continue;
        std::vector<Range> other = {{0, 9}};
        for (int64_t place = 1; place < 9; ++place) {
          if ((ends >> (place - 1) & 1) == 0) continue;
          other.back().end = place;
          other.push_back({place, 9});
        }
        const auto [dearest, squares] = judged(costs, other, last);
        EXPECT_TRUE(dearest > best.first || (dearest == best.first && squares >= best.second))
            << parts << " parts, cut " << ends;
      }
    }
  }
}

TEST(Layout, AutomaticTakesTheFaster) {
  struct Case {
    Split split;
    int64_t timesteps;
    int world_size;
    int stages;
    DecoderPlace decoder;
    double period;
  };
  const Case cases[] = {
      {Split::kTimestep, 4, 1, 1, kStream, 4.5}, {Split::kTimestep, 4, 2, 2, kStream, 2.5},
      {Split::kTimestep, 4, 3, 2, kRank, 2},  // 2,1,1 is no faster
      {Split::kTimestep, 4, 4, 4, kStream, 1.5}, {Split::kTimestep, 4, 5, 4, kRank, 1},
      {Split::kTimestep, 1, 2, 1, kRank, 1},     {Split::kTimestep, 8, 8, 8, kStream, 1.5},
      {Split::kTimestep, 8, 5, 4, kRank, 2},     {Split::kTimestep, 6, 5, 4, kRank, 2},
      {Split::kLayers, 4, 2, 2, kStream, 2.3},   {Split::kLayers, 4, 3, 3, kStream, 1.5},
      {Split::kLayers, 4, 4, 4, kStream, 1.2},   {Split::kLayers, 4, 5, 5, kStream, 0.9},
      {Split::kLayers, 4, 8, 7, kRank, 0.6},     {Split::kLayers, 1, 9, 8, kRank, 0.5},
  };
  for (const Case& c : cases) {
    const RankLayout layout = make_layout(ranks(c.world_size, c.split, c.timesteps));
    EXPECT_EQ(layout.stages.size(), static_cast<size_t>(c.stages))
        << c.world_size << " ranks, " << c.timesteps;
    EXPECT_EQ(layout.decoder, c.decoder) << c.world_size << " ranks, " << c.timesteps;
    EXPECT_NEAR(block_period(layout), c.period, 1e-9) << c.world_size << " ranks, " << c.timesteps;
  }
}

TEST(Layout, AutomaticIsByLayersWhereThatIsMoreThanTwoPercentFaster) {
  const auto automatic = [](int world_size) {
    LayoutRequest request = ranks(world_size);
    request.split.reset();
    return request;
  };
  EXPECT_EQ(make_layout(automatic(1)), make_layout(ranks(1)));
  EXPECT_EQ(make_layout(automatic(2)), make_layout(ranks(2, Split::kLayers)));  // 2.3 for 2.5
  EXPECT_EQ(make_layout(automatic(3)), make_layout(ranks(3, Split::kLayers)));  // 1.5 for 2
  EXPECT_EQ(make_layout(automatic(4)), make_layout(ranks(4, Split::kLayers)));  // 1.2 for 1.5
  EXPECT_EQ(make_layout(automatic(6)), make_layout(ranks(6, Split::kLayers))) << "no other way";
  EXPECT_THAT(refusal(automatic(50)), AllOf(HasSubstr("40 layers"), HasSubstr("Start 1 to 41 ranks")));
  LayoutRequest request = automatic(5);
  request.decoder = kRank;
  EXPECT_EQ(make_layout(request).split, Split::kTimestep) << "1 for both";
  request.costs.layers.assign(40, 1.0);
  request.costs.layers[0] = 1.02;
  EXPECT_EQ(make_layout(request).split, Split::kTimestep);
  request = automatic(3);
  request.shard = true;
  EXPECT_EQ(make_layout(request).split, Split::kTimestep) << "only there are weights sharded";
  request.world_size = 6;
  EXPECT_THAT(refusal(request), AllOf(HasSubstr("Start 1 to 5 ranks"), Not(HasSubstr("--split layers"))));
}

TEST(Layout, KnowsWhatEachRankDoes) {
  EXPECT_THAT(make_layout(ranks(2)).work, ElementsAre(2.0, 2.5));
  EXPECT_THAT(make_layout(ranks(3)).work, ElementsAre(2.0, 2.0, 0.5));
  EXPECT_THAT(make_layout(ranks(2, Split::kLayers)).work,
              ElementsAre(testing::DoubleNear(2.3, 1e-9), testing::DoubleNear(2.2, 1e-9)));
}

TEST(Layout, EveryRankHasWorkAndAllWorkHasARank) {
  for (const Split split : {Split::kTimestep, Split::kLayers}) {
    for (int64_t timesteps = 1; timesteps <= 8; ++timesteps) {
      for (int world_size = 1; world_size <= 9; ++world_size) {
        const LayoutRequest request = ranks(world_size, split, timesteps, 6);
        if (world_size > (split == Split::kTimestep ? timesteps : 6) + 1) {
          EXPECT_NE(refusal(request), "accepted");
          continue;
        }
        const RankLayout layout = make_layout(request);
        int64_t work = 0;
        std::vector<int> jobs(static_cast<size_t>(world_size));
        Range before{0, 0};
        for (const StagePlan& stage : layout.stages) {
          work += stage.timesteps.size() * stage.layers.size();
          ++jobs[static_cast<size_t>(stage.rank)];
          const Range& part = split == Split::kTimestep ? stage.timesteps : stage.layers;
          EXPECT_EQ(part.begin, before.end);
          EXPECT_GT(part.size(), 0);
          before = part;
        }
        EXPECT_EQ(work, timesteps * 6);
        if (layout.decoder == kRank) ++jobs[static_cast<size_t>(layout.decoder_rank)];
        EXPECT_EQ(layout.decoder == kStream, layout.decoder_rank == layout.stages.back().rank);
        EXPECT_THAT(jobs, testing::Each(1));
        EXPECT_EQ(make_layout(request), layout);
      }
    }
  }
}

TEST(Layout, TakesWhatWasAskedFor) {
  EXPECT_EQ(make_layout(with(ranks(3), 2)).decoder, kRank);
  EXPECT_EQ(make_layout(with(ranks(3), 3)).decoder, kStream);
  EXPECT_EQ(make_layout(with(ranks(4), std::nullopt, kRank)).stages.size(), 3u);
  EXPECT_EQ(make_layout(with(ranks(3), std::nullopt, kStream)).stages.size(), 3u);
  EXPECT_EQ(make_layout(with(ranks(2, Split::kLayers), 1, kRank)).stages.size(), 1u);
  LayoutRequest request = ranks(4);
  request.split.reset();
  request.shard = true;
  EXPECT_TRUE(make_layout(request).shard);
  EXPECT_EQ(make_layout(request).split, Split::kTimestep);
  request.world_size = 1;
  EXPECT_FALSE(make_layout(request).shard) << "nothing to divide";
}

TEST(Layout, NamesTheUsefulNumbersOfRanks) {
  EXPECT_THAT(refusal(ranks(6)),
              AllOf(HasSubstr("6 ranks were started"), HasSubstr("4 timesteps (--sample_steps)"),
                    HasSubstr("Start 1 to 5 ranks"), HasSubstr("--split layers: 1 to 41 ranks")));
  EXPECT_THAT(refusal(with(ranks(5), std::nullopt, kStream)),
              AllOf(HasSubstr("--decoder stream"), HasSubstr("Start 1 to 4 ranks"),
                    HasSubstr("--split layers: 1 to 40 ranks")));
  EXPECT_THAT(refusal(ranks(4, Split::kLayers, 4, 2)),
              AllOf(HasSubstr("2 layers"), HasSubstr("Start 1 to 3 ranks"), Not(HasSubstr("--split"))));
  EXPECT_THAT(refusal(with(ranks(1), std::nullopt, kRank)),
              AllOf(HasSubstr("--decoder rank"), HasSubstr("1 rank was started"), HasSubstr("2 to 5 ranks")));
}

TEST(Layout, RefusesWishesThatContradictEachOther) {
  EXPECT_THAT(refusal(with(ranks(3), 4, kRank)),
              AllOf(HasSubstr("--num_gpus_dit 4"), HasSubstr("--decoder rank"), HasSubstr("needs 5 ranks"),
                    HasSubstr("3 ranks were started"), HasSubstr("2 to 5")));
  EXPECT_THAT(refusal(with(ranks(3), 2, kStream)), AllOf(HasSubstr("stream"), HasSubstr("needs 2 ranks")));
  EXPECT_THAT(refusal(with(ranks(2), 4)), HasSubstr("needs 4 ranks, or 5 with a decode rank"));
  EXPECT_THAT(refusal(with(ranks(6), 5)), AllOf(HasSubstr("--num_gpus_dit 5"), HasSubstr("Give 1 to 4"),
                                                HasSubstr("--split layers: 1 to 40")));
  EXPECT_THAT(refusal(with(ranks(42, Split::kLayers), 41)),
              AllOf(HasSubstr("40 layers"), HasSubstr("Give 1 to 40")));
  EXPECT_THAT(refusal(with(ranks(1), 0)), HasSubstr("--num_gpus_dit 0: it must be 1 or more"));
  LayoutRequest request = ranks(2, Split::kLayers);
  request.shard = true;
  EXPECT_THAT(refusal(request),
              AllOf(HasSubstr("--shard on"), HasSubstr("--split layers"), HasSubstr("Leave one out")));
  request.world_size = 0;
  EXPECT_THROW(make_layout(request), InternalError);
}

TEST(LayoutTable, HasALineForEveryRank) {
  LayoutRequest request = with(ranks(3), 2, kRank);
  request.shard = true;
  EXPECT_EQ(layout_table(make_layout(request), {"node1", "node1", "node2"}, {"cuda:0", "cuda:1", "cuda:0"}),
            "rank  host   device  timesteps  layers  role     weights  work\n"
            "0     node1  cuda:0  0-1        0-39    stage 0  50 %     44.4 %\n"
            "1     node1  cuda:1  2-3        0-39    stage 1  50 %     44.4 %\n"
            "2     node2  cuda:0  -          -       decoder  -        11.1 %\n");
  EXPECT_EQ(
      layout_table(make_layout(with(ranks(3, Split::kLayers), 3)), {"a", "a", "a"}, {"cpu", "cpu", "cpu"}),
      "rank  host  device  timesteps  layers  role              weights  work\n"
      "0     a     cpu     0-3        0-14    stage 0           37.5 %   33.3 %\n"
      "1     a     cpu     0-3        15-29   stage 1           37.5 %   33.3 %\n"
      "2     a     cpu     0-3        30-39   stage 2, decoder  25 %     33.3 %\n");
  EXPECT_THROW(layout_table(make_layout(ranks(2)), {"a"}, {"cpu", "cpu"}), InternalError);
}

TEST(LayoutJson, SaysEverything) {
  LayoutRequest request = with(ranks(2), 2);
  request.shard = true;
  EXPECT_EQ(nlohmann::json::parse(layout_json(make_layout(request))), nlohmann::json::parse(R"({
    "world_size": 2, "split": "timestep", "shard": true,
    "stages": [{"rank": 0, "timesteps": [0, 2], "layers": [0, 40]},
               {"rank": 1, "timesteps": [2, 4], "layers": [0, 40]}],
    "decoder": {"place": "stream", "rank": 1},
    "layers_per_stage": [40, 40], "steps_per_block": [2.0, 2.5]})"));
  EXPECT_THAT(layout_json(make_layout(ranks(5))), HasSubstr("\"place\": \"rank\""));
  EXPECT_THAT(layout_json(make_layout(ranks(2, Split::kLayers))), HasSubstr("\"split\": \"layers\""));
}

RankLayout layout_of(const RenderJob& job, int world_size) {
  LayoutRequest request = layout_request(job, world_size, 4, 40);
  request.costs.decode = request.costs.step / 2;
  return make_layout(request);
}

TEST(LayoutOfJob, ThePublicCommandLineOnFiveRanks) {
  RenderJob job;
  job.num_gpus_dit = 4;
  job.enable_vae_parallel = true;
  EXPECT_EQ(layout_of(job, 5), make_layout(with(ranks(5), 4, kRank)));
  EXPECT_THAT(layout_notices(job, 5), IsEmpty());
  EXPECT_THAT(refusal_of([&] { layout_of(job, 2); }),
              AllOf(HasSubstr("--num_gpus_dit 4"), HasSubstr("needs 5 ranks")));
}

TEST(LayoutOfJob, ThePublicCommandLineAlone) {
  RenderJob job;
  job.num_gpus_dit = 4;
  job.enable_vae_parallel = true;
  EXPECT_EQ(layout_of(job, 1), make_layout(ranks(1)));
  EXPECT_THAT(layout_notices(job, 1), ElementsAre(HasSubstr("1 rank was started; --num_gpus_dit 4 and "
                                                            "--enable_vae_parallel are ignored")));
  job.enable_vae_parallel = false;
  EXPECT_THAT(layout_notices(job, 1), ElementsAre(HasSubstr("--num_gpus_dit 4 is ignored")));
  job.num_gpus_dit = 1;
  EXPECT_THAT(layout_notices(job, 1), IsEmpty());
  job.decoder = "rank";
  EXPECT_THAT(refusal_of([&] { layout_of(job, 1); }), HasSubstr("needs 2 ranks"));
}

TEST(LayoutOfJob, TakesEveryOption) {
  RenderJob job;
  const LayoutRequest automatic = layout_request(job, 3, 8, 20);
  EXPECT_EQ(automatic.world_size, 3);
  EXPECT_EQ(automatic.timesteps, 8);
  EXPECT_EQ(automatic.layers, 20);
  EXPECT_EQ(automatic.partition.kind, LayerPartition::Kind::kBalanced);
  EXPECT_FALSE(automatic.num_gpus_dit || automatic.decoder || automatic.split || automatic.shard);
  job.num_gpus_dit = 2;
  job.decoder = "rank";
  job.split = "layers";
  job.shard = "off";
  job.layer_partition = "12,8";
  const LayoutRequest asked = layout_request(job, 3, 8, 20);
  EXPECT_EQ(asked.num_gpus_dit, 2);
  EXPECT_EQ(asked.decoder, kRank);
  EXPECT_EQ(asked.split, Split::kLayers);
  EXPECT_EQ(asked.shard, false);
  EXPECT_EQ(asked.partition.kind, LayerPartition::Kind::kGiven);
  EXPECT_THAT(asked.partition.given, ElementsAre(12, 8));
  job.decoder = "stream";
  job.split = "timestep";
  job.shard = "on";
  job.layer_partition = "even";
  const LayoutRequest other = layout_request(job, 3, 8, 20);
  EXPECT_EQ(other.decoder, kStream);
  EXPECT_EQ(other.split, Split::kTimestep);
  EXPECT_EQ(other.shard, true);
  EXPECT_EQ(other.partition.kind, LayerPartition::Kind::kEven);
}

}  // namespace
}  // namespace latentcast
