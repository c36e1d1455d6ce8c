#include "latentcast/pipeline/stage_runner.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "latentcast/model/vae/latent_scale.h"

namespace latentcast {
namespace {

// Sends under way before the oldest is waited for: one is being received while the next is made.
constexpr size_t kSendsUnderWay = 4;

at::Tensor to_host(const at::Tensor& tensor) { return tensor.to(at::kCPU).contiguous(); }

}  // namespace

/// What an item waits for: nothing on a stage that makes it itself.
struct StageRunner::Incoming {
  at::Tensor tensor;
  std::unique_ptr<Transfer> transfer;

  const at::Tensor& wait() {
    if (transfer) {
      transfer->finish();
      transfer.reset();
    }
    return tensor;
  }
};

StageRunner::StageRunner(DenoiseStage stage, const RankLayout& layout, int rank, const ScheduleShape& shape,
                         BlockFeed feed, const Conditions& conditions, PoseLatents pose, StageLinks links,
                         LatentSink sink, IdlePass idle_pass, Trace& trace)
    : stage_(std::move(stage)),
      layout_(layout),
      stage_number_(layout.stage_of(rank)),
      shape_(shape),
      feed_(std::move(feed)),
      conditions_(conditions),
      pose_(std::move(pose)),
      links_(links),
      sink_(std::move(sink)),
      idle_pass_(std::move(idle_pass)),
      trace_(trace) {}

StageRunner::~StageRunner() = default;

void StageRunner::run() {
  StageWalk walk(layout_, shape_, stage_number_);
  std::optional<ScheduleItem> item = walk.next();
  Incoming incoming = item ? ask_for(*item) : Incoming{};
  while (item) {
    const std::optional<ScheduleItem> next = walk.next();
    Incoming later = next ? ask_for(*next) : Incoming{};
    idle_until(item->tick);
    run_item(*item, incoming);
    item = next;
    incoming = std::move(later);
  }
  idle_until(walk.ticks());
  for (Sent& sent : sent_) {
    sent.transfer->finish();
  }
  sent_.clear();
}

StageRunner::Incoming StageRunner::ask_for(const ScheduleItem& item) {
  Incoming incoming;
  const StageShape& shape = stage_.shape();
  const bool by_layers = layout_.split == Split::kLayers;
  int from = -1;
  if (!is_first() && by_layers) {
    const bool condition = item.kind == ScheduleItem::Kind::kCondition;
    const int64_t tokens = condition ? shape.condition_tokens() : shape.block_tokens();
    incoming.tensor = at::empty({tokens, stage_.dim()}, stage_.options());
    from = rank_of(stage_number_ - 1);
  } else if (item.kind == ScheduleItem::Kind::kBlock &&
             (!is_first() || (by_layers && item.timesteps.begin > 0))) {
    const std::vector<int64_t> latents = {kLatentChannels, kBlockLatents, shape.latent_rows,
                                          shape.latent_columns};
    const int64_t parts = by_layers ? 1 : 2;
    incoming.tensor = at::empty({parts, latents[0], latents[1], latents[2], latents[3]},
                                stage_.options().dtype(at::kFloat));
    from = is_first() ? rank_of(static_cast<int>(layout_.stages.size()) - 1) : rank_of(stage_number_ - 1);
    if (is_first() && is_last()) {
      return {};  // a single stage keeps its latents
    }
  }
  if (from >= 0) {
    incoming.transfer = links_.pipeline.launch_receive(incoming.tensor, from);
  }
  return incoming;
}

void StageRunner::pass_on(const at::Tensor& tensor, int stage) {
  at::Tensor payload = tensor.contiguous();
  std::unique_ptr<Transfer> transfer = links_.pipeline.launch_send(payload, rank_of(stage));
  sent_.push_back({std::move(transfer), std::move(payload)});
  while (sent_.size() > kSendsUnderWay) {
    sent_.front().transfer->finish();
    sent_.pop_front();
  }
}

void StageRunner::run_item(const ScheduleItem& item, Incoming& incoming) {
  int64_t passes = 1;
  if (item.kind == ScheduleItem::Kind::kCondition) {
    run_condition(item, incoming);
  } else if (layout_.split == Split::kTimestep) {
    run_timesteps(item, incoming);
    passes = item.timesteps.size();
  } else {
    run_layers(item, incoming);
  }
  idle(passes_per_tick() - passes);
  ++counters_.ticks;
}

void StageRunner::run_condition(const ScheduleItem& item, Incoming& incoming) {
  // MPI moves a message only while its sender calls MPI, and over NCCL this stage would not: it sees the
  // first latent off before it takes up what the receivers make of it.
  for (Sent& sent : first_latent_sends_) {
    sent.transfer->finish();
  }
  first_latent_sends_.clear();
  at::Tensor x;
  if (stage_.has_first_layer()) {
    const at::Tensor reference = reference_of(item.clip);
    trace_.add("sink" + std::to_string(item.clip) + ".ref_latents", reference.unsqueeze(0));
    x = stage_.begin_condition(reference, conditions_.motion_latents);
  } else {
    x = incoming.wait();
  }
  x = stage_.run_condition(x, item.clip, trace_);
  if (!stage_.has_last_layer()) {
    pass_on(x, stage_number_ + 1);
  }
  ++counters_.condition_passes;
}

void StageRunner::run_timesteps(const ScheduleItem& scheduled, Incoming& incoming) {
  const BlockItem item = feed_.item(scheduled.clip, scheduled.block);
  at::Tensor latents, pose;
  if (is_first()) {
    latents = feed_.noise(item.clip, item.block);
    pose = pose_of(item.clip, item.block);
  } else {
    const at::Tensor& both = incoming.wait();
    latents = both[0];
    pose = both[1];
  }
  for (int64_t t = scheduled.timesteps.begin; t < scheduled.timesteps.end; ++t) {
    if (const at::Tensor given = inputs_.latents_in(static_cast<size_t>(t), item.number); given.defined()) {
      latents = given;
    }
    const at::Tensor x = stage_.run_layers(item, t, stage_.begin_step(latents, pose));
    latents = denoise(item, t, latents, x);
  }
  if (is_last()) {
    finish_block(item, latents);
  } else {
    pass_on(at::stack({latents, pose.to(latents.device())}), stage_number_ + 1);
  }
}

void StageRunner::run_layers(const ScheduleItem& scheduled, Incoming& incoming) {
  const BlockItem item = feed_.item(scheduled.clip, scheduled.block);
  const int64_t t = scheduled.timesteps.begin;
  at::Tensor x;
  if (is_first()) {
    const at::Tensor latents = t == 0 ? feed_.noise(item.clip, item.block)
                                      : (is_last() ? latents_.at(item.number) : incoming.wait()[0]);
    x = stage_.begin_step(latents, pose_of(item.clip, item.block));
  } else {
    x = incoming.wait();
  }
  x = stage_.run_layers(item, t, x);
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
  const at::Tensor velocity = stage_.end_step(timestep, x);
  if (trace_.keeps_block(item.number)) {
    const std::string name = step_name(static_cast<size_t>(timestep), item.number);
    trace_.add(name + "latents_in", latents);
    trace_.add(name + "timestep", at::full({1, kBlockLatents}, stage_.timestep_value(timestep), at::kFloat));
    trace_.add(name + "velocity", velocity);
  }
  ++counters_.block_passes;
  return stage_.advance(timestep, latents, velocity);
}

void StageRunner::finish_block(const BlockItem& item, const at::Tensor& latents) {
  if (item.number == 0 && shape_.clips > 1) {
    // Every stage with the first layer wants it for clip 1's condition pass.
    first_latent_ = to_host(latents.narrow(1, 0, 1));
    for (const StagePlan& other : layout_.stages) {
      if (other.layers.begin == 0 && other.rank != rank_of(stage_number_)) {
        // Waited for at clip 1's condition pass: the receiver comes for it only after the rest of clip 0.
        first_latent_sends_.push_back({links_.control.launch_send(first_latent_, other.rank), first_latent_});
      }
    }
  }
  sink_(item, latents);
}

at::Tensor StageRunner::reference_of(int64_t clip) {
  if (clip == 0) {
    return conditions_.reference_latents;
  }
  if (!first_latent_.defined()) {
    first_latent_ = at::empty_like(conditions_.reference_latents, at::MemoryFormat::Contiguous);
    links_.control.receive(first_latent_, rank_of(static_cast<int>(layout_.stages.size()) - 1));
  }
  return first_latent_;
}

at::Tensor StageRunner::pose_of(int64_t clip, int64_t block) {
  // Blocks of two clips may be under way at once, and clips are encoded in order.
  while (clip_pose_.empty() || clip_pose_.rbegin()->first < clip) {
    const int64_t next = clip_pose_.empty() ? 0 : clip_pose_.rbegin()->first + 1;
    clip_pose_.emplace(next, pose_.next_clip(trace_));
  }
  while (clip_pose_.begin()->first + 2 < clip) {
    clip_pose_.erase(clip_pose_.begin());
  }
  return clip_pose_.at(clip).narrow(1, block * kBlockLatents, kBlockLatents);
}

/// With sharded weights every rank of the group takes part in the gathers of every tick, whether it computes
/// or not; a tick is as long as the stage with the most timesteps needs.
void StageRunner::idle_until(int64_t tick) {
  for (; counters_.ticks < tick; ++counters_.ticks) {
    idle(passes_per_tick());
  }
}

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
