#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/comm/communicator.h"
#include "latentcast/pipeline/block_feed.h"
#include "latentcast/pipeline/layout.h"
#include "latentcast/pipeline/schedule.h"
#include "latentcast/pipeline/stage.h"

namespace latentcast {

/// Takes a finished block's latents [16, 3, h, w], float32, in order.
using LatentSink = std::function<void(const BlockItem& item, const at::Tensor& latents)>;

/// The communicators of a stage; borrowed for the render.
struct StageLinks {
  Communicator& pipeline;  ///< all ranks, for tensors of the stages' device: what passes from stage to stage
  Communicator& control;   ///< all ranks, for CPU tensors: the first latent, once a render
};

/// Takes part in one pass of weight gathers without computing; empty where weights are not sharded.
using IdlePass = std::function<void()>;

/// What a stage did, for report.json.
struct StageCounters {
  int64_t condition_passes = 0, block_passes = 0, idle_passes = 0, ticks = 0;
};

/// Walks through a stage's items in the order of the schedule: receives what an item needs, runs it, passes
/// the result on. What the next item needs is asked for before this one computes; what was sent is waited for
/// some items later.
///
/// By timestep, a stage passes [2, 16, 3, h, w] on: latents and pose. By layers, tokens go from stage to
/// stage, and the last one, which knows each block's latents, sends them back to the first after every
/// timestep but the last.
class StageRunner {
 public:
  /// `sink` is called on the last stage only.
  StageRunner(DenoiseStage stage, const RankLayout& layout, int rank, const ScheduleShape& shape,
              BlockFeed feed, const Conditions& conditions, PoseLatents pose, StageLinks links,
              LatentSink sink, IdlePass idle_pass, Trace& trace);
  ~StageRunner();

  void set_inputs(TraceInputs inputs) { inputs_ = std::move(inputs); }

  /// Runs the whole render's items of this stage.
  void run();

  const StageCounters& counters() const { return counters_; }

 private:
  struct Incoming;
  /// A send under way and what it sends.
  struct Sent {
    std::unique_ptr<Transfer> transfer;
    at::Tensor tensor;
  };

  void run_item(const ScheduleItem& item, Incoming& incoming);
  void run_condition(const ScheduleItem& item, Incoming& incoming);
  void run_timesteps(const ScheduleItem& item, Incoming& incoming);
  void run_layers(const ScheduleItem& item, Incoming& incoming);
  void finish_block(const BlockItem& item, const at::Tensor& latents);
  at::Tensor denoise(const BlockItem& item, int64_t timestep, const at::Tensor& latents, const at::Tensor& x);

  Incoming ask_for(const ScheduleItem& item);
  void pass_on(const at::Tensor& tensor, int stage);
  void idle_until(int64_t tick);
  void idle(int64_t passes);
  int64_t passes_per_tick() const;
  at::Tensor reference_of(int64_t clip);
  at::Tensor pose_of(int64_t clip, int64_t block);

  bool is_first() const { return stage_number_ == 0; }
  bool is_last() const { return stage_number_ + 1 == static_cast<int>(layout_.stages.size()); }
  int rank_of(int stage) const { return layout_.stages[static_cast<size_t>(stage)].rank; }

  DenoiseStage stage_;
  RankLayout layout_;
  int stage_number_;
  ScheduleShape shape_;
  BlockFeed feed_;
  const Conditions& conditions_;
  PoseLatents pose_;
  StageLinks links_;
  LatentSink sink_;
  IdlePass idle_pass_;
  Trace& trace_;
  TraceInputs inputs_;
  StageCounters counters_;
  at::Tensor first_latent_;                // of clip 0, on the last stage
  std::map<int64_t, at::Tensor> latents_;  // by layers, on the last stage: blocks under way
  std::map<int64_t, at::Tensor> clip_pose_;
  std::deque<Sent> sent_, first_latent_sends_;
};

}  // namespace latentcast
