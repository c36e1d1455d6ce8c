// What the stages send and what they expect are two readings of one schedule: they must agree.

#include "latentcast/pipeline/arrivals.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace latentcast {
namespace {

using Kind = ScheduleItem::Kind;

RankLayout layout_of(Split split, int stages, int64_t timesteps) {
  LayoutRequest request;
  request.world_size = stages;
  request.split = split;
  request.decoder = DecoderPlace::kStream;
  request.timesteps = timesteps;
  return make_layout(request);
}

/// Walks all stages through a render, with a queue in place of tensors.
class Walkthrough {
 public:
  Walkthrough(const RankLayout& layout, const ScheduleShape& shape, const CutAfter& cut_after)
      : layout_(layout), shape_(shape), stages_(static_cast<int>(layout.stages.size())) {
    for (int stage = 0; stage < stages_; ++stage) {
      walks_.emplace_back(layout, shape, stage, cut_after);
      arrivals_.emplace_back(layout, shape, stage, cut_after);
    }
    waiting_.resize(walks_.size());
    has_first_latent_.resize(walks_.size(), shape.first_clip > 0);
  }

  void run() {
    for (int64_t tick = 0; !tick_is_last(tick); ++tick) {
      for (int stage = 0; stage < stages_; ++stage) use(stage);
      for (int stage = 0; stage < stages_; ++stage) get(stage, tick);
    }
    expect_nothing_waits();
  }
  const std::vector<int64_t>& cuts() const { return cuts_; }

 private:
  bool tick_is_last(int64_t tick) {
    items_.clear();
    bool over = true;
    for (StageWalk& walk : walks_) {
      items_.push_back(walk.at(tick));
      over = over && walk.is_over(tick);
    }
    if (std::any_of(items_.begin(), items_.end(), is_cut)) cut(tick);
    return over;
  }

  static bool is_cut(const ScheduleItem* item) { return item != nullptr && item->kind == Kind::kCut; }

  /// A cut comes to all stages in the same tick, and finds nothing under way.
  void cut(int64_t tick) {
    expect_nothing_waits();
    cuts_.push_back(items_.front() == nullptr ? -1 : items_.front()->clip);
    for (size_t stage = 0; stage < walks_.size(); ++stage) {
      ASSERT_TRUE(is_cut(items_[stage])) << "stage " << stage << ", tick " << tick;
      EXPECT_EQ(items_[stage]->clip, cuts_.back());
      items_[stage] = walks_[stage].at(tick);
    }
  }

  void expect_nothing_waits() const {
    for (const int64_t left : waiting_) EXPECT_EQ(left, 0) << "sent, but used by no item";
  }

  void use(int stage) {
    const auto own = static_cast<size_t>(stage);
    const ScheduleItem* item = items_[own];
    if (item == nullptr) return;
    const bool condition = item->kind == Kind::kCondition, by_layers = layout_.split == Split::kLayers;
    const bool first_layer = layout_.stages[own].layers.begin == 0;
    if (condition && item->clip == 1 && first_layer && stage + 1 < stages_) {
      EXPECT_TRUE(has_first_latent_[own]);
    }
    const bool from_before = stage > 0 && (by_layers || !condition);
    const bool goes_round = stage == 0 && stages_ > 1 && by_layers && !condition && item->timesteps.begin > 0;
    if (from_before || goes_round) EXPECT_GE(--waiting_[own], 0) << "tick " << item->tick;
  }

  void get(int stage, int64_t tick) {
    const auto own = static_cast<size_t>(stage);
    for (const Arrival& arrival : arrivals_[own].in_tick(tick)) {
      const ScheduleItem* made_by = items_[static_cast<size_t>(arrival.from)];
      ASSERT_NE(made_by, nullptr) << "nobody makes what stage " << stage << " expects in tick " << tick;
      EXPECT_NE(arrival.from, stage);
      const bool condition = made_by->kind == Kind::kCondition;
      EXPECT_EQ(arrival.kind == Arrival::Kind::kConditionTokens, condition);
      if (arrival.kind == Arrival::Kind::kFirstLatent) {
        EXPECT_EQ(made_by->clip * shape_.blocks_per_clip + made_by->block, 0);
        EXPECT_EQ(made_by->timesteps.end, shape_.timesteps);
        has_first_latent_[own] = true;
      } else {
        ++waiting_[own];
      }
    }
  }

  const RankLayout& layout_;
  const ScheduleShape& shape_;
  int stages_;
  std::vector<StageWalk> walks_;
  std::vector<Arrivals> arrivals_;
  std::vector<const ScheduleItem*> items_;
  std::vector<int64_t> waiting_;
  std::vector<bool> has_first_latent_;
  std::vector<int64_t> cuts_;
};

/// Runs `check` for layouts and shapes of all kinds.
template <typename Check>
void for_all_renders(Check check) {
  for (const Split split : {Split::kTimestep, Split::kLayers}) {
    for (const int64_t timesteps : {1, 2, 3, 4, 8}) {
      const int most = split == Split::kTimestep ? static_cast<int>(timesteps) : 9;
      for (int stages = 1; stages <= most; ++stages) {
        for (const int64_t blocks : {1, 2, 3, 4, 8}) {
          const RankLayout layout = layout_of(split, stages, timesteps);
          for (const int64_t clips : {1, 2, 5}) {
            check(layout, ScheduleShape{clips, blocks, timesteps, (blocks + 1) / 2});
            ASSERT_FALSE(testing::Test::HasFailure()) << stages << " stages, " << timesteps << " timesteps, "
                                                      << blocks << " blocks, " << clips << " clips";
          }
        }
      }
    }
  }
}

TEST(Arrivals, AreWhatTheOtherStagesMakeInTimeForTheirUse) {
  for_all_renders(
      [](const RankLayout& layout, const ScheduleShape& shape) { Walkthrough(layout, shape, {}).run(); });
}

TEST(Cuts, FindAllStagesAtTheSameTickWithNothingUnderWay) {
  for_all_renders([](const RankLayout& layout, const ScheduleShape& shape) {
    for (const int64_t every : {1, 2}) {
      Walkthrough walk(layout, shape, [&](int64_t clip) { return clip % every == 0; });
      walk.run();
      std::vector<int64_t> expected;
      for (int64_t clip = 0; clip + 1 < shape.clips; clip += every) expected.push_back(clip);
      EXPECT_EQ(walk.cuts(), expected);
    }
  });
}

TEST(Cuts, AreFollowedByWhatAContinuedRenderDoes) {
  for_all_renders([](const RankLayout& layout, const ScheduleShape& shape) {
    for (int64_t first = 1; first < shape.clips; ++first) {
      ScheduleShape rest = shape;
      rest.first_clip = first;
      Walkthrough(layout, rest, {}).run();
      for (int stage = 0; stage < static_cast<int>(layout.stages.size()); ++stage) {
        StageWalk cut(layout, shape, stage, [&](int64_t clip) { return clip + 1 == first; });
        std::optional<ScheduleItem> item = cut.next();
        while (item->kind != Kind::kCut) item = cut.next();
        const int64_t begin = item->tick;
        StageWalk continued(layout, rest, stage);
        std::optional<ScheduleItem> other = continued.next();
        // Clip 1's condition pass comes anyway if it is next, else once more.
        ASSERT_EQ(other->kind, Kind::kCondition);
        EXPECT_EQ(other->clip, 1);
        if (first > 1) other = continued.next();
        while ((item = cut.next())) {
          ASSERT_TRUE(other);
          EXPECT_EQ(item->tick - begin + (first > 1 ? 1 : 0), other->tick);
          item->tick = other->tick;
          EXPECT_EQ(*item, *other);
          other = continued.next();
        }
        EXPECT_FALSE(other);
      }
    }
  });
}

}  // namespace
}  // namespace latentcast
