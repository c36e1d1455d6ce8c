// What the stages send and what they expect are two readings of one schedule: they must agree.

#include "latentcast/pipeline/arrivals.h"

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
  Walkthrough(const RankLayout& layout, const ScheduleShape& shape)
      : layout_(layout), shape_(shape), stages_(static_cast<int>(layout.stages.size())) {
    for (int stage = 0; stage < stages_; ++stage) {
      walks_.emplace_back(layout, shape, stage);
      arrivals_.emplace_back(layout, shape, stage);
    }
    waiting_.resize(walks_.size());
    has_first_latent_.resize(walks_.size());
  }

  void run() {
    for (int64_t tick = 0; !tick_is_last(tick); ++tick) {
      for (int stage = 0; stage < stages_; ++stage) use(stage);
      for (int stage = 0; stage < stages_; ++stage) get(stage, tick);
    }
    for (const int64_t left : waiting_) EXPECT_EQ(left, 0) << "sent, but used by no item";
  }

 private:
  bool tick_is_last(int64_t tick) {
    items_.clear();
    bool over = true;
    for (StageWalk& walk : walks_) {
      items_.push_back(walk.at(tick));
      over = over && walk.is_over(tick);
    }
    return over;
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
};

TEST(Arrivals, AreWhatTheOtherStagesMakeInTimeForTheirUse) {
  for (const Split split : {Split::kTimestep, Split::kLayers}) {
    for (int64_t timesteps = 1; timesteps <= 8; ++timesteps) {
      const int most = split == Split::kTimestep ? static_cast<int>(timesteps) : 9;
      for (int stages = 1; stages <= most; ++stages) {
        const RankLayout layout = layout_of(split, stages, timesteps);
        for (const int64_t blocks : {1, 2, 3, 4, 8}) {
          for (const int64_t clips : {1, 2, 4}) {
            Walkthrough(layout, {clips, blocks, timesteps, (blocks + 1) / 2}).run();
            ASSERT_FALSE(testing::Test::HasFailure()) << stages << " stages, " << timesteps << " timesteps, "
                                                      << blocks << " blocks, " << clips << " clips";
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace latentcast
