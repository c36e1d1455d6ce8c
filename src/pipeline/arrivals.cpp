#include "latentcast/pipeline/arrivals.h"

#include <utility>

namespace latentcast {
namespace {

int upstream_of(const RankLayout& layout, int stage) {
  const auto last = static_cast<int>(layout.stages.size()) - 1;
  if (stage > 0) return stage - 1;
  return layout.split == Split::kLayers && last > 0 ? last : -1;
}

/// The tick in which the last stage ends block 0; −1 if nobody wants to know.
int64_t tick_of_first_latent(const RankLayout& layout, const ScheduleShape& shape, int stage) {
  const auto last = static_cast<int>(layout.stages.size()) - 1;
  if (stage == last || layout.stages[static_cast<size_t>(stage)].layers.begin > 0 || shape.clips < 2 ||
      shape.first_clip > 0) {
    return -1;
  }
  StageWalk walk(layout, shape, last);
  for (std::optional<ScheduleItem> item = walk.next(); item; item = walk.next()) {
    const bool block = item->kind == ScheduleItem::Kind::kBlock && item->clip == 0 && item->block == 0;
    if (block && item->timesteps.end == shape.timesteps) return item->tick;
  }
  return -1;
}

}  // namespace

Arrivals::Arrivals(const RankLayout& layout, const ScheduleShape& shape, int stage, CutAfter cut_after)
    : by_layers_(layout.split == Split::kLayers),
      is_first_(stage == 0),
      timesteps_(shape.timesteps),
      upstream_(upstream_of(layout, stage)),
      last_(static_cast<int>(layout.stages.size()) - 1),
      first_latent_tick_(tick_of_first_latent(layout, shape, stage)) {
  if (upstream_ >= 0) walk_.emplace(layout, shape, upstream_, std::move(cut_after));
}

std::optional<Arrival::Kind> Arrivals::kind_of(const ScheduleItem& item) const {
  const bool condition = item.kind == ScheduleItem::Kind::kCondition;
  if (!by_layers_) return condition ? std::nullopt : std::optional(Arrival::Kind::kLatentsAndPose);
  if (!is_first_) return condition ? Arrival::Kind::kConditionTokens : Arrival::Kind::kBlockTokens;
  const bool goes_on = !condition && item.timesteps.end < timesteps_;
  return goes_on ? std::optional(Arrival::Kind::kLatents) : std::nullopt;
}

std::vector<Arrival> Arrivals::in_tick(int64_t tick) {
  std::vector<Arrival> arrivals;
  // Before what the same stage passes on: it sends the first latent when it makes it.
  if (tick == first_latent_tick_) arrivals.push_back({Arrival::Kind::kFirstLatent, last_});
  if (!walk_) return arrivals;
  const ScheduleItem* item = walk_->at(tick);
  while (item != nullptr && item->kind == ScheduleItem::Kind::kCut) item = walk_->at(tick);
  if (item == nullptr) return arrivals;
  if (const auto kind = kind_of(*item)) arrivals.push_back({*kind, upstream_});
  return arrivals;
}

}  // namespace latentcast
