#include "latentcast/pipeline/stage_runner.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/model/vae/latent_scale.h"

namespace latentcast {
namespace {

// Sends under way before the oldest is waited for: one is being received while the next is made.
constexpr size_t kSendsUnderWay = 4;

std::string text_of(const BlockItem& item, int64_t timestep) {
  return "block " + std::to_string(item.number) + ", timestep " + std::to_string(timestep);
}

}  // namespace

StageRunner::StageRunner(DenoiseStage stage, const RankLayout& layout, int rank, const ScheduleShape& shape,
                         BlockFeed feed, const Conditions& conditions, PoseLatents pose,
                         Communicator& pipeline, LatentSink sink, IdlePass idle_pass, Trace& trace,
                         Activity& activity)
    : stage_(std::move(stage)),
      layout_(layout),
      stage_number_(layout.stage_of(rank)),
      shape_(shape),
      feed_(std::move(feed)),
      conditions_(conditions),
      pose_(std::move(pose)),
      pipeline_(pipeline),
      sink_(std::move(sink)),
      idle_pass_(std::move(idle_pass)),
      trace_(trace),
      activity_(activity) {}

StageRunner::~StageRunner() = default;

void StageRunner::run(const CutAfter& cut_after, const AtCut& at_cut,
                      const std::function<void()>& each_tick) {
  StageWalk walk(layout_, shape_, stage_number_, cut_after);
  Arrivals arrivals(layout_, shape_, stage_number_, cut_after);
  for (;; ++counters_.ticks) {
    const ScheduleItem* item = walk.at(counters_.ticks);
    if (item != nullptr && item->kind == ScheduleItem::Kind::kCut) {
      finish_sends();
      if (!at_cut(item->clip + 1)) {
        return;
      }
      item = walk.at(counters_.ticks);
    }
    if (walk.is_over(counters_.ticks)) {
      break;
    }
    next_ = coming_pass(walk.coming());
    item != nullptr ? run_item(*item) : idle(passes_per_tick());
    exchange(arrivals.in_tick(counters_.ticks));
    if (each_tick) {
      each_tick();
    }
  }
  finish_sends();
}

std::optional<NextPass> StageRunner::coming_pass(const ScheduleItem* coming) const {
  if (coming == nullptr || coming->kind != ScheduleItem::Kind::kBlock) {
    return std::nullopt;
  }
  return NextPass{coming->timesteps.begin, coming->block};
}

void StageRunner::finish_sends() {
  for (UnderWay& sent : sent_) {
    sent.transfer->finish();
  }
  sent_.clear();
}

at::Tensor StageRunner::empty_for(Arrival::Kind kind) const {
  const StageShape& shape = stage_.shape();
  const auto latents = [&](int64_t count) {
    return at::empty({count, kLatentChannels, kBlockLatents, shape.latent_rows, shape.latent_columns},
                     stage_.options().dtype(at::kFloat));
  };
  switch (kind) {
    case Arrival::Kind::kConditionTokens:
      return at::empty({shape.condition_tokens(), stage_.dim()}, stage_.options());
    case Arrival::Kind::kBlockTokens:
      return at::empty({shape.block_tokens(), stage_.dim()}, stage_.options());
    case Arrival::Kind::kLatents:
      return latents(1);
    case Arrival::Kind::kLatentsAndPose:
      return latents(2);
    case Arrival::Kind::kFirstLatent:
      return at::empty({kLatentChannels, 1, shape.latent_rows, shape.latent_columns},
                       stage_.options().dtype(at::kFloat));
  }
  throw InternalError("nothing of this kind passes between stages");
}

/// The end of a tick: what it made goes out, what the other stages made comes in.
void StageRunner::exchange(const std::vector<Arrival>& arrivals) {
  std::vector<Message> receives;
  for (const Arrival& arrival : arrivals) {
    receives.push_back({empty_for(arrival.kind), rank_of(arrival.from)});
  }
  if (outgoing_.empty() && receives.empty()) {
    return;
  }
  Exchange exchange = pipeline_.launch_exchange(outgoing_, receives);
  for (size_t i = 0; i < arrivals.size(); ++i) {
    UnderWay coming{std::move(exchange.receives[i]), receives[i].tensor};
    if (arrivals[i].kind == Arrival::Kind::kFirstLatent) {
      first_latent_ = std::move(coming);
    } else {
      incoming_.push_back(std::move(coming));
    }
  }
  for (size_t i = 0; i < outgoing_.size(); ++i) {
    sent_.push_back({std::move(exchange.sends[i]), outgoing_[i].tensor});
  }
  outgoing_.clear();
  while (sent_.size() > kSendsUnderWay) {
    sent_.front().transfer->finish();
    sent_.pop_front();
  }
}

void StageRunner::pass_on(const at::Tensor& tensor, int stage) {
  outgoing_.push_back({tensor.contiguous(), rank_of(stage)});
}

/// What the stage before has passed on for this item.
at::Tensor StageRunner::take_incoming() {
  if (incoming_.empty()) {
    throw InternalError("an item of the schedule needs what no stage has sent");
  }
  UnderWay coming = std::move(incoming_.front());
  incoming_.pop_front();
  coming.transfer->finish();
  return coming.tensor;
}

void StageRunner::run_item(const ScheduleItem& item) {
  int64_t passes = 1;
  if (item.kind == ScheduleItem::Kind::kCondition) {
    run_condition(item);
  } else if (layout_.split == Split::kTimestep) {
    run_timesteps(item);
    passes = item.timesteps.size();
  } else {
    run_layers(item);
  }
  idle(passes_per_tick() - passes);
}

void StageRunner::run_condition(const ScheduleItem& item) {
  activity_.begin("condition of clip " + std::to_string(item.clip));
  at::Tensor x;
  if (stage_.has_first_layer()) {
    const at::Tensor reference = reference_of(item.clip);
    trace_.add("sink" + std::to_string(item.clip) + ".ref_latents", reference.unsqueeze(0));
    x = stage_.begin_condition(reference, conditions_.motion_latents);
  } else {
    x = take_incoming();
  }
  x = stage_.run_condition(x, item.clip, trace_);
  if (!stage_.has_last_layer()) {
    pass_on(x, stage_number_ + 1);
  }
  ++counters_.condition_passes;
}

void StageRunner::run_timesteps(const ScheduleItem& scheduled) {
  const BlockItem item = feed_.item(scheduled.clip, scheduled.block);
  at::Tensor latents, pose;
  if (is_first()) {
    latents = feed_.noise(item.clip, item.block);
    pose = pose_of(item.clip, item.block);
  } else {
    const at::Tensor both = take_incoming();
    latents = both[0];
    pose = both[1];
  }
  for (int64_t t = scheduled.timesteps.begin; t < scheduled.timesteps.end; ++t) {
    activity_.begin(text_of(item, t));
    if (const at::Tensor given = inputs_.latents_in(static_cast<size_t>(t), item.number); given.defined()) {
      latents = given;
    }
    const std::optional<NextPass> next =
        t + 1 < scheduled.timesteps.end ? NextPass{t + 1, item.block} : next_;
    const at::Tensor x = stage_.run_layers(item, t, stage_.begin_step(latents, pose), next);
    ++counters_.block_passes;
    latents = denoise(item, t, latents, x);
  }
  if (is_last()) {
    finish_block(item, latents);
  } else {
    pass_on(at::stack({latents, pose.to(latents.device())}), stage_number_ + 1);
  }
}

void StageRunner::run_layers(const ScheduleItem& scheduled) {
  const BlockItem item = feed_.item(scheduled.clip, scheduled.block);
  const int64_t t = scheduled.timesteps.begin;
  activity_.begin(text_of(item, t));
  at::Tensor x;
  if (is_first()) {
    const at::Tensor latents = t == 0 ? feed_.noise(item.clip, item.block)
                                      : (is_last() ? latents_.at(item.number) : take_incoming()[0]);
    x = stage_.begin_step(latents, pose_of(item.clip, item.block));
  } else {
    x = take_incoming();
  }
  x = stage_.run_layers(item, t, x, next_);
  ++counters_.block_passes;
  if (!is_last()) {
    pass_on(x, stage_number_ + 1);
    return;
  }
  const at::Tensor before = t == 0 ? feed_.noise(item.clip, item.block) : latents_.at(item.number);
  const at::Tensor latents = denoise(item, t, before, x);
  if (t + 1 == shape_.timesteps) {
    latents_.erase(item.number);
    finish_block(item, latents);
    return;
  }
  latents_[item.number] = latents;
  if (!is_first()) {
    pass_on(latents.unsqueeze(0), 0);
  }
}

/// Ends a forward pass on the rank with the last layer.
at::Tensor StageRunner::denoise(const BlockItem& item, int64_t timestep, const at::Tensor& latents,
                                const at::Tensor& x) {
  at::Tensor after = replay_.take(timestep, item.number);
  if (!after.defined()) {
    after = advance(item, timestep, latents, x);
  }
  history_.keep({timestep, item.number, after});
  return after;
}

at::Tensor StageRunner::advance(const BlockItem& item, int64_t timestep, const at::Tensor& latents,
                                const at::Tensor& x) {
  const at::Tensor velocity = stage_.end_step(timestep, x);
  if (trace_.keeps_block(item.number)) {
    const std::string name = step_name(static_cast<size_t>(timestep), item.number);
    trace_.add(name + "latents_in", latents);
    trace_.add(name + "timestep", at::full({1, kBlockLatents}, stage_.timestep_value(timestep), at::kFloat));
    trace_.add(name + "velocity", velocity);
  }
  return stage_.advance(timestep, latents, velocity);
}

void StageRunner::finish_block(const BlockItem& item, const at::Tensor& latents) {
  if (item.number == 0 && shape_.clips > 1) {
    first_latent_ = {nullptr, latents.narrow(1, 0, 1).contiguous()};
    for (size_t stage = 0; stage + 1 < layout_.stages.size(); ++stage) {
      if (layout_.stages[stage].layers.begin == 0) {
        pass_on(first_latent_.tensor, static_cast<int>(stage));
      }
    }
  }
  sink_(item, latents);
}

at::Tensor StageRunner::reference_of(int64_t clip) {
  if (clip == 0) {
    return conditions_.reference_latents;
  }
  if (first_latent_.transfer) {
    std::exchange(first_latent_.transfer, nullptr)->finish();
  }
  return first_latent_.tensor;
}

at::Tensor StageRunner::pose_of(int64_t clip, int64_t block) {
  // Every block under way may be another clip's, and clips are encoded in order.
  while (clip_pose_.empty() || clip_pose_.rbegin()->first < clip) {
    const int64_t next = clip_pose_.empty() ? shape_.first_clip : clip_pose_.rbegin()->first + 1;
    clip_pose_.emplace(next, pose_.next_clip(trace_));
  }
  while (clip_pose_.begin()->first + layout_.blocks_under_way() < clip) {
    clip_pose_.erase(clip_pose_.begin());
  }
  return clip_pose_.at(clip).narrow(1, block * kBlockLatents, kBlockLatents);
}

/// With sharded weights every rank of the group takes part in the gathers of every tick, whether it computes
/// or not; a tick is as long as the stage with the most timesteps needs.
void StageRunner::idle(int64_t passes) {
  for (; idle_pass_ && passes > 0; --passes) {
    idle_pass_();
    ++counters_.idle_passes;
  }
}

int64_t StageRunner::passes_per_tick() const {
  int64_t most = 1;
  for (const StagePlan& stage : layout_.stages) {
    most = std::max(most, layout_.split == Split::kTimestep ? stage.timesteps.size() : 1);
  }
  return most;
}

}  // namespace latentcast
