#include "latentcast/pipeline/schedule.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

using Kind = ScheduleItem::Kind;
using Items = std::vector<std::vector<ScheduleItem>>;  // [stage][item]

RankLayout layout_of(Split split, int stages, int64_t timesteps,
                     DecoderPlace decoder = DecoderPlace::kStream) {
  LayoutRequest request;
  request.world_size = stages + (decoder == DecoderPlace::kRank ? 1 : 0);
  request.split = split;
  request.decoder = decoder;
  request.timesteps = timesteps;
  return make_layout(request);
}

// Runs `check` for every render that is to be tested.
template <typename Check>
void for_all_renders(Check check) {
  for (const Split split : {Split::kTimestep, Split::kLayers}) {
    for (int64_t timesteps = 1; timesteps <= 8; ++timesteps) {
      const int most_stages = split == Split::kTimestep ? static_cast<int>(timesteps) : 9;
      for (int i = 2; i < 2 * most_stages + 2; ++i) {
        // With a decode rank layers may be even, with a stream they are not.
        const RankLayout layout =
            layout_of(split, i / 2, timesteps, i % 2 == 0 ? DecoderPlace::kStream : DecoderPlace::kRank);
        for (int64_t blocks = 1; blocks <= 8; ++blocks) {
          for (const int64_t clips : {1, 2, 3, 5}) {
            for (const int64_t last : std::set<int64_t>{1, (blocks + 1) / 2, blocks}) {
              check(layout, ScheduleShape{clips, blocks, timesteps, last});
              if (testing::Test::HasFailure()) return;
            }
          }
        }
      }
    }
  }
}

// A render's whole schedule, and questions about it.
class Whole {
 public:
  Whole(const RankLayout& layout, const ScheduleShape& shape)
      : layout(layout), shape(shape), stages(layout.stages.size()), items(stages) {
    Schedule schedule(layout, shape);
    for (int64_t clip = 0; clip < shape.clips; ++clip) {
      const Items of_clip = schedule.next_clip();
      for (size_t stage = 0; stage < stages; ++stage) {
        for (const ScheduleItem& item : of_clip[stage]) {
          EXPECT_EQ(item.clip, clip);
          items[stage].push_back(item);
          add(stage, item);
        }
        EXPECT_TRUE(std::is_sorted(of_clip[stage].begin(), of_clip[stage].end(), by_tick));
      }
    }
    ticks = schedule.ticks();
    for (auto& stage : items) std::sort(stage.begin(), stage.end(), by_tick);
  }

  static bool by_tick(const ScheduleItem& a, const ScheduleItem& b) { return a.tick < b.tick; }

  bool by_layers() const { return layout.split == Split::kLayers; }
  int64_t number(int64_t clip, int64_t block) const { return clip * shape.blocks_per_clip + block; }
  int64_t blocks() const { return (shape.clips - 1) * shape.blocks_per_clip + shape.blocks_in_last_clip; }
  int64_t clip_of(int64_t block) const { return block / shape.blocks_per_clip; }
  int64_t steps() const { return by_layers() ? shape.timesteps : 1; }
  int64_t conditions() const { return std::min<int64_t>(shape.clips, 2); }

  /// Tick of a block's step on a stage (by timestep there is one step a stage).
  int64_t block_tick(size_t stage, int64_t block, int64_t step) const {
    return blocks_.at({stage, block, step});
  }
  int64_t condition_tick(size_t stage, int64_t clip) const { return conditions_.at({stage, clip}); }
  int64_t started(int64_t block) const { return block_tick(0, block, 0); }
  int64_t finished(int64_t block) const { return block_tick(stages - 1, block, steps() - 1); }
  bool works(size_t stage, int64_t tick) const { return busy_.contains({stage, tick}); }

  const RankLayout layout;
  const ScheduleShape shape;
  const size_t stages;
  Items items;
  int64_t ticks = 0;

 private:
  void add(size_t stage, const ScheduleItem& item) {
    EXPECT_TRUE(busy_.emplace(stage, item.tick).second) << "two items in tick " << item.tick;
    if (item.kind == Kind::kCondition) {
      EXPECT_TRUE(conditions_.emplace(std::pair(stage, item.clip), item.tick).second);
      return;
    }
    const int64_t step = by_layers() ? item.timesteps.begin : 0;
    const Range expected = by_layers() ? Range{step, step + 1} : layout.stages[stage].timesteps;
    EXPECT_EQ(item.timesteps, expected);
    EXPECT_TRUE(blocks_.emplace(std::tuple(stage, number(item.clip, item.block), step), item.tick).second);
  }

  std::map<std::tuple<size_t, int64_t, int64_t>, int64_t> blocks_;
  std::map<std::pair<size_t, int64_t>, int64_t> conditions_;
  std::set<std::pair<size_t, int64_t>> busy_;
};

std::string named(const Whole& whole) {
  return draw_schedule(whole.layout, whole.shape, 60) + std::to_string(whole.shape.clips) + " clips of " +
         std::to_string(whole.shape.blocks_per_clip) + " blocks, the last of " +
         std::to_string(whole.shape.blocks_in_last_clip);
}

// Ticks that must lie before this one.
std::vector<int64_t> before_condition(const Whole& w, size_t stage, int64_t clip) {
  std::vector<int64_t> ticks;
  if (w.by_layers() && stage > 0) ticks.push_back(w.condition_tick(stage - 1, clip));
  if (clip == 0) return ticks;
  ticks.push_back(w.finished(0));
  for (const ScheduleItem& item : w.items[stage]) {
    if (item.clip < clip) ticks.push_back(item.tick);
  }
  return ticks;
}

std::vector<int64_t> before_block(const Whole& w, size_t stage, int64_t block, int64_t step) {
  std::vector<int64_t> ticks;
  for (int64_t clip = 0; clip < w.conditions() && clip <= w.clip_of(block); ++clip) {
    ticks.push_back(w.condition_tick(stage, clip));
  }
  if (stage > 0) ticks.push_back(w.block_tick(stage - 1, block, step));
  if (stage == 0 && step > 0) ticks.push_back(w.block_tick(w.stages - 1, block, step - 1));
  if (block > 0) ticks.push_back(w.block_tick(stage, block - 1, step));
  return ticks;
}

int64_t under_way(const Whole& w, int64_t tick) {
  int64_t count = 0;
  for (int64_t block = 0; block < w.blocks(); ++block) {
    if (w.started(block) <= tick && tick <= w.finished(block)) ++count;
  }
  return count;
}

// Runs `check(stage, tick, ticks before it, whether it starts a block)` for every item.
template <typename Check>
void for_all_items(const Whole& w, Check check) {
  for (size_t stage = 0; stage < w.stages; ++stage) {
    for (const ScheduleItem& item : w.items[stage]) {
      if (item.kind == Kind::kCondition) {
        check(stage, item.tick, before_condition(w, stage, item.clip), false);
        continue;
      }
      const int64_t step = w.by_layers() ? item.timesteps.begin : 0;
      check(stage, item.tick, before_block(w, stage, w.number(item.clip, item.block), step),
            step == 0 && stage == 0);
    }
  }
}

TEST(Schedule, HasEveryPassOnce) {
  for_all_renders([](const RankLayout& layout, const ScheduleShape& shape) {
    const Whole w(layout, shape);  // refuses doubles
    const int64_t passes = w.blocks() * w.steps() + w.conditions();
    int64_t last = 0;
    for (size_t stage = 0; stage < w.stages; ++stage) {
      EXPECT_EQ(w.items[stage].size(), static_cast<size_t>(passes)) << named(w);
      EXPECT_EQ(w.items[stage].front().kind, Kind::kCondition);
      for (int64_t block = 0; block < w.blocks(); ++block) {
        for (int64_t step = 0; step < w.steps(); ++step) EXPECT_NO_THROW(w.block_tick(stage, block, step));
      }
      last = std::max(last, w.items[stage].back().tick);
    }
    EXPECT_EQ(w.ticks, last + 1);
  });
}

TEST(Schedule, EveryInputIsMadeInAnEarlierTick) {
  for_all_renders([](const RankLayout& layout, const ScheduleShape& shape) {
    const Whole w(layout, shape);
    for_all_items(w, [&](size_t stage, int64_t tick, const std::vector<int64_t>& before, bool) {
      for (const int64_t earlier : before) EXPECT_LT(earlier, tick) << "stage " << stage << "\n" << named(w);
    });
  });
}

TEST(Schedule, NothingCouldRunATickEarlier) {
  for_all_renders([](const RankLayout& layout, const ScheduleShape& shape) {
    const Whole w(layout, shape);
    for_all_items(w, [&](size_t stage, int64_t tick, const std::vector<int64_t>& before, bool starts) {
      const int64_t earlier = tick - 1;
      const bool waits = std::find(before.begin(), before.end(), earlier) != before.end();
      const bool full = w.by_layers() && starts && under_way(w, earlier) >= layout.blocks_under_way();
      // A block keeps its turn even if there are too few to fill the others'.
      const int64_t more = layout.blocks_under_way() - static_cast<int64_t>(w.stages);
      const bool turn = w.by_layers() && std::any_of(before.begin(), before.end(), [&](int64_t made) {
                          return made < earlier && made >= earlier - more;
                        });
      EXPECT_TRUE(tick == 0 || waits || full || turn || w.works(stage, earlier))
          << "stage " << stage << ", tick " << tick << "\n"
          << named(w);
    });
  });
}

TEST(Schedule, BlocksUnderWayByLayersAreAsManyAsStagesAndMoreWhereTheseAreUneven) {
  const auto under_way_of = [](int stages, DecoderPlace decoder) {
    return layout_of(Split::kLayers, stages, 4, decoder).blocks_under_way();
  };
  EXPECT_EQ(under_way_of(4, DecoderPlace::kRank), 4) << "10 layers each";
  EXPECT_EQ(under_way_of(3, DecoderPlace::kRank), 4) << "14, 13, 13";
  EXPECT_EQ(under_way_of(3, DecoderPlace::kStream), 5) << "the last one also decodes";
  EXPECT_EQ(under_way_of(1, DecoderPlace::kStream), 1);
  for_all_renders([](const RankLayout& layout, const ScheduleShape& shape) {
    const Whole w(layout, shape);
    if (!w.by_layers()) return;
    for (int64_t tick = 0; tick < w.ticks; ++tick) {
      EXPECT_LE(under_way(w, tick), layout.blocks_under_way()) << "tick " << tick << "\n" << named(w);
    }
  });
}

// Between the first block of a stretch and the start of its last one every stage is busy; a stretch is clip
// 0, or everything after it.
TEST(Schedule, NoStageIsIdleWhileBlocksSuffice) {
  for_all_renders([](const RankLayout& layout, const ScheduleShape& shape) {
    const Whole w(layout, shape);
    const int64_t first_clip_end = std::min(shape.clips > 1 ? shape.blocks_per_clip : w.blocks(), w.blocks());
    const std::pair<int64_t, int64_t> stretches[] = {{0, first_clip_end}, {first_clip_end, w.blocks()}};
    for (const auto& [begin, end] : stretches) {
      if (begin == end) continue;
      for (size_t stage = 0; stage < w.stages; ++stage) {
        const int64_t last = w.block_tick(stage, end - 1, 0);
        for (int64_t tick = w.block_tick(stage, begin, 0); tick <= last; ++tick) {
          EXPECT_TRUE(w.works(stage, tick)) << "stage " << stage << ", tick " << tick << "\n" << named(w);
        }
      }
    }
  });
}

TEST(Schedule, TheWalkHasTheSameItemsInTheOrderOfTicks) {
  for_all_renders([](const RankLayout& layout, const ScheduleShape& shape) {
    const Whole w(layout, shape);
    for (size_t stage = 0; stage < w.stages; ++stage) {
      std::vector<ScheduleItem> walked;
      StageWalk walk(layout, shape, static_cast<int>(stage));
      while (const auto item = walk.next()) walked.push_back(*item);
      EXPECT_EQ(walk.ticks(), w.ticks);
      EXPECT_EQ(walked, w.items[stage]) << named(w);
    }
  });
}

TEST(Schedule, DependsOnNothingButItsArguments) {
  const ScheduleShape shape{3, 4, 4, 2};
  for (const Split split : {Split::kTimestep, Split::kLayers}) {
    const RankLayout layout = layout_of(split, 3, 4);
    EXPECT_TRUE(Whole(layout, shape).items == Whole(layout, shape).items);
  }
  const RankLayout stream = layout_of(Split::kTimestep, 3, 4),
                   rank = layout_of(Split::kTimestep, 3, 4, DecoderPlace::kRank);
  EXPECT_TRUE(Whole(stream, shape).items == Whole(rank, shape).items);
  // What a clip's items are doesn't depend on what comes after it.
  Schedule few(layout_of(Split::kLayers, 3, 4), {2, 4, 4, 4}),
      many(layout_of(Split::kLayers, 3, 4), {9, 4, 4, 1});
  EXPECT_EQ(few.next_clip(), many.next_clip());
  EXPECT_EQ(few.next_clip(), many.next_clip());
  EXPECT_THROW(few.next_clip(), InternalError);
}

TEST(Schedule, RefusesShapesThatAreNone) {
  const RankLayout layout = layout_of(Split::kTimestep, 2, 4);
  EXPECT_THROW(Schedule(layout, {0, 4, 4, 4}), InternalError);
  EXPECT_THROW(Schedule(layout, {1, 4, 4, 0}), InternalError);
  EXPECT_THROW(Schedule(layout, {1, 4, 4, 5}), InternalError);
  EXPECT_THROW(Schedule(layout, {1, 4, 3, 4}), InternalError) << "laid out for 4 timesteps";
  EXPECT_THROW(StageWalk(layout, {1, 4, 4, 4}, 2), InternalError);
}

TEST(DrawSchedule, OneRank) {
  EXPECT_EQ("\n" + draw_schedule(layout_of(Split::kTimestep, 1, 4), {2, 2, 4, 1}, 7), R"(
tick                      0   1   2   3   4   5   6
rank 0, timesteps 0-3     C0  0.0 0.1 C1  1.0 .   .
rank 0, decoder (stream)  .   .   0.0 0.1 .   1.0 .
)");
}

TEST(DrawSchedule, ByTimestepWithADecodeRank) {
  EXPECT_EQ("\n" + draw_schedule(layout_of(Split::kTimestep, 2, 3, DecoderPlace::kRank), {2, 3, 3, 3}, 10),
            R"(
tick                   0   1   2   3   4   5   6   7   8   9
rank 0, timesteps 0-1  C0  0.0 0.1 0.2 C1  1.0 1.1 1.2 .   .
rank 1, timestep 2     C0  .   0.0 0.1 0.2 C1  1.0 1.1 1.2 .
rank 2, decoder        .   .   .   0.0 0.1 0.2 .   1.0 1.1 1.2
)");
}

TEST(DrawSchedule, ConditionWaitsForTheFirstBlock) {
  EXPECT_EQ("\n" + draw_schedule(layout_of(Split::kTimestep, 4, 4), {3, 2, 4, 1}, 12), R"(
tick                      0   1   2   3   4   5   6   7   8   9   10  11
rank 0, timestep 0        C0  0.0 0.1 .   .   C1  1.0 1.1 2.0 .   .   .
rank 1, timestep 1        C0  .   0.0 0.1 .   C1  .   1.0 1.1 2.0 .   .
rank 2, timestep 2        C0  .   .   0.0 0.1 C1  .   .   1.0 1.1 2.0 .
rank 3, timestep 3        C0  .   .   .   0.0 0.1 C1  .   .   1.0 1.1 2.0
rank 3, decoder (stream)  .   .   .   .   .   0.0 0.1 .   .   .   1.0 1.1
)");
}

// Clips 1 and 2 alternate where clip 1 has an odd number of blocks for two stages.
TEST(DrawSchedule, ByLayers) {
  EXPECT_EQ("\n" + draw_schedule(layout_of(Split::kLayers, 2, 2, DecoderPlace::kRank), {3, 3, 2, 2}, 18), R"(
tick                  0     1     2     3     4     5     6     7     8     9     10    11    12    13    14    15    16    17
rank 0, layers 0-19   C0    0.0:0 0.1:0 0.0:1 0.1:1 0.2:0 .     0.2:1 C1    1.0:0 1.1:0 1.0:1 1.1:1 1.2:0 2.0:0 1.2:1 2.0:1 2.1:0
rank 1, layers 20-39  .     C0    0.0:0 0.1:0 0.0:1 0.1:1 0.2:0 .     0.2:1 C1    1.0:0 1.1:0 1.0:1 1.1:1 1.2:0 2.0:0 1.2:1 2.0:1
rank 2, decoder       .     .     .     .     .     0.0   0.1   .     .     0.2   .     .     .     1.0   1.1   .     .     1.2
)");
}

std::string picture(Split split, int world_size, const ScheduleShape& shape, int64_t ticks,
                    std::optional<DecoderPlace> decoder = std::nullopt) {
  LayoutRequest request;
  request.world_size = world_size;
  request.split = split;
  request.decoder = decoder;
  return draw_schedule(make_layout(request), shape, ticks);
}

/// The pictures of docs/ranks.md, in its order.
std::vector<std::string> pictures_of_page() {
  const ScheduleShape shape{3, 4, 4, 4};
  std::vector<std::string> pictures;
  for (int ranks = 1; ranks <= 5; ++ranks) pictures.push_back(picture(Split::kTimestep, ranks, shape, 14));
  pictures.push_back(picture(Split::kTimestep, 3, shape, 14, DecoderPlace::kStream));
  pictures.push_back(picture(Split::kLayers, 2, shape, 18));
  pictures.push_back(picture(Split::kLayers, 3, shape, 20));
  pictures.push_back(picture(Split::kLayers, 4, shape, 20, DecoderPlace::kRank));
  return pictures;
}

/// The page with these pictures in the place of its own; empty if it hasn't as many.
std::string with_pictures(const std::string& page, const std::vector<std::string>& pictures) {
  const std::string begin = "```\ntick ", end = "```\n";
  std::string text;
  size_t at = 0;
  for (const std::string& picture : pictures) {
    const size_t old = page.find(begin, at);
    if (old == std::string::npos) return {};
    text += page.substr(at, old - at) + "```\n" + picture + end;
    at = page.find(end, old + begin.size()) + end.size();
  }
  return page.find(begin, at) == std::string::npos ? text + page.substr(at) : std::string();
}

// LATENTCAST_WRITE_DOCS=1 in the environment writes them into the page instead.
TEST(RanksPage, HasThePicturesThatAreDrawn) {
  const char* data = std::getenv("LATENTCAST_TEST_DATA");
  ASSERT_TRUE(data) << "run the tests through ctest";
  const std::string file = std::string(data) + "/../../docs/ranks.md";
  const auto read = [&] {
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string drawn = with_pictures(read(), pictures_of_page());
  ASSERT_NE(drawn, "") << "the page has another number of pictures";
  if (std::getenv("LATENTCAST_WRITE_DOCS")) std::ofstream(file) << drawn;
  EXPECT_EQ(read(), drawn) << "docs/ranks.md is out of date: run this test once with "
                              "LATENTCAST_WRITE_DOCS=1 in the environment";
}

}  // namespace
}  // namespace latentcast
