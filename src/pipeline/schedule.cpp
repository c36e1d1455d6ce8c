#include "latentcast/pipeline/schedule.h"

#include <algorithm>
#include <utility>

#include "latentcast/error.h"

namespace latentcast {
namespace {

using Kind = ScheduleItem::Kind;
using ItemsOfStages = std::vector<std::vector<ScheduleItem>>;

constexpr int64_t kLastConditionClip = 1;

// By layers every item goes from stage to stage, one a tick, so the first stage's ticks are all there is to
// decide.
void add_to_all_stages(ScheduleItem item, ItemsOfStages& items) {
  for (auto& stage : items) {
    stage.push_back(item);
    ++item.tick;
  }
}

std::vector<int64_t> first_free_ticks(const RankLayout& layout) {
  const auto stages = static_cast<int64_t>(layout.stages.size());
  return std::vector<int64_t>(
      static_cast<size_t>(layout.split == Split::kTimestep ? stages : layout.blocks_under_way()), 0);
}

}  // namespace

Schedule::Schedule(const RankLayout& layout, const ScheduleShape& shape)
    : layout_(layout), shape_(shape), clip_(shape.first_clip), free_from_(first_free_ticks(layout)) {
  const bool last_fits = shape.blocks_in_last_clip >= 1 && shape.blocks_in_last_clip <= shape.blocks_per_clip;
  const bool has_clips = shape.first_clip >= 0 && shape.first_clip < shape.clips;
  if (layout.stages.empty() || !has_clips || shape.timesteps < 1 || !last_fits) {
    throw InternalError(
        "A schedule needs stages, clips, timesteps and 1 to blocks_per_clip blocks in each clip.");
  }
  if (layout.stages.back().timesteps.end != shape.timesteps) {
    throw InternalError("The layout is for another number of timesteps than the schedule.");
  }
}

int64_t Schedule::blocks_of_clip() const {
  return clip_ + 1 == shape_.clips ? shape_.blocks_in_last_clip : shape_.blocks_per_clip;
}

ScheduleItem Schedule::block_item(int64_t block, int64_t tick, Range timesteps) const {
  return {Kind::kBlock, clip_, block, timesteps, tick};
}

ItemsOfStages Schedule::next_clip() {
  if (clip_ >= shape_.clips) throw InternalError("The schedule has no further clip.");
  ItemsOfStages items(layout_.stages.size());
  if (clip_ <= kLastConditionClip || clip_ == shape_.first_clip) add_conditions(items);
  for (int64_t block = 0; block < blocks_of_clip(); ++block) {
    layout_.split == Split::kTimestep ? add_block_by_timestep(block, items)
                                      : add_block_by_layers(block, items);
    if (clip_ == 0 && block == 0) first_block_done_ = items.back().back().tick;
  }
  for (const auto& stage : items) {
    for (const ScheduleItem& item : stage) ticks_ = std::max(ticks_, item.tick + 1);
  }
  // A stage's blocks alternate by layers, and were added one after the other.
  for (auto& stage : items) {
    std::sort(stage.begin(), stage.end(), [](const auto& a, const auto& b) { return a.tick < b.tick; });
  }
  ++clip_;
  return items;
}

void Schedule::add_conditions(ItemsOfStages& items) {
  const int64_t earliest = clip_ == shape_.first_clip ? 0 : first_block_done_ + 1;
  const ScheduleItem condition{Kind::kCondition, std::min(clip_, kLastConditionClip), 0, {}, earliest};
  if (layout_.split == Split::kTimestep) {
    for (size_t stage = 0; stage < items.size(); ++stage) {
      items[stage].push_back(condition);
      items[stage].back().tick = std::max(earliest, free_from_[stage]);
      free_from_[stage] = items[stage].back().tick + 1;
    }
    return;
  }
  const auto lanes = static_cast<int64_t>(free_from_.size());
  ScheduleItem first = condition;
  // The lane that is free last had the first stage's last item one round earlier.
  if (clip_ > shape_.first_clip) {
    first.tick = std::max(earliest, *std::max_element(free_from_.begin(), free_from_.end()) - lanes + 1);
  }
  add_to_all_stages(first, items);
  for (int64_t lane = 0; lane < lanes; ++lane) free_from_[static_cast<size_t>(lane)] = first.tick + 1 + lane;
}

void Schedule::add_block_by_timestep(int64_t block, ItemsOfStages& items) {
  int64_t tick = 0;
  for (size_t stage = 0; stage < items.size(); ++stage) {
    tick = std::max(tick, free_from_[stage]);
    items[stage].push_back(block_item(block, tick, layout_.stages[stage].timesteps));
    free_from_[stage] = ++tick;
  }
}

void Schedule::add_block_by_layers(int64_t block, ItemsOfStages& items) {
  const auto lanes = static_cast<int64_t>(free_from_.size());
  int64_t& lane = *std::min_element(free_from_.begin(), free_from_.end());
  for (int64_t timestep = 0; timestep < shape_.timesteps; ++timestep) {
    add_to_all_stages(block_item(block, lane, {timestep, timestep + 1}), items);
    lane += lanes;
  }
}

void Schedule::drain() {
  for (size_t i = 0; i < free_from_.size(); ++i) {
    // By layers these are the first stage's lanes, a tick apart.
    free_from_[i] = ticks_ + (layout_.split == Split::kLayers ? static_cast<int64_t>(i) : 0);
  }
}

StageWalk::StageWalk(const RankLayout& layout, const ScheduleShape& shape, int stage, CutAfter cut_after)
    : schedule_(layout, shape),
      stage_(static_cast<size_t>(stage)),
      cut_after_(std::move(cut_after)),
      next_clip_(shape.first_clip),
      clips_(shape.clips) {
  if (stage < 0 || stage_ >= layout.stages.size()) throw InternalError("The layout has no such stage.");
  next_clip_tick_ = next_clip_tick();
}

std::optional<ScheduleItem> StageWalk::next() {
  while (is_time_to_pull() && !asks_for_cut()) pull();
  if (!ahead_.empty()) return ahead_.extract(ahead_.begin()).mapped();
  if (cut_due_) return cut();
  return std::nullopt;
}

bool StageWalk::is_time_to_pull() const {
  if (cut_due_ || next_clip_ == clips_) return false;
  return ahead_.empty() || next_clip_tick_ < ahead_.begin()->first;
}

bool StageWalk::asks_for_cut() {
  if (!asked_ && cut_after_) cut_due_ = cut_after_(next_clip_ - 1);
  asked_ = true;
  return cut_due_;
}

ScheduleItem StageWalk::cut() {
  cut_due_ = false;
  schedule_.drain();
  next_clip_tick_ = next_clip_tick();
  return {Kind::kCut, next_clip_ - 1, 0, {}, schedule_.ticks()};
}

const ScheduleItem* StageWalk::at(int64_t tick) {
  const bool past = !current_ || current_->tick < tick;
  if (past || current_->kind == Kind::kCut) {
    // A cut that is still to come stays; one that was returned for this tick makes way.
    if (past || std::exchange(cut_returned_, false)) current_ = next();
  }
  const bool now = current_ && current_->tick == tick;
  cut_returned_ = now && current_->kind == Kind::kCut;
  return now ? &*current_ : nullptr;
}

void StageWalk::pull() {
  const ItemsOfStages items = schedule_.next_clip();
  for (const ScheduleItem& item : items[stage_]) ahead_.emplace(item.tick, item);
  asked_ = false;
  if (++next_clip_ < clips_) next_clip_tick_ = next_clip_tick();
}

int64_t StageWalk::next_clip_tick() const {
  Schedule ahead = schedule_;
  return ahead.next_clip()[stage_].front().tick;
}

}  // namespace latentcast
