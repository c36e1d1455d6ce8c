#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/comm/communicator.h"
#include "latentcast/pipeline/arrivals.h"
#include "latentcast/pipeline/block_feed.h"
#include "latentcast/pipeline/latent_history.h"
#include "latentcast/pipeline/layout.h"
#include "latentcast/pipeline/schedule.h"
#include "latentcast/pipeline/stage.h"

namespace latentcast {

/// Takes a finished block's latents [16, 3, h, w], float32, in order.
using LatentSink = std::function<void(const BlockItem& item, const at::Tensor& latents)>;

/// Takes part in one pass of weight gathers without computing; empty where weights are not sharded.
using IdlePass = std::function<void()>;

/// What a stage did, for report.json.
struct StageCounters {
  int64_t condition_passes = 0, block_passes = 0, idle_passes = 0, ticks = 0;
};

/// Walks through the schedule's ticks: runs the stage's item of the tick, then exchanges with the other
/// stages what this tick made, whether the stage had an item or not.
///
/// So all that moves between ranks has one order, the same on every rank: gathers while an item runs, then
/// the tick's exchange. A receive is launched only there, never ahead: a rank whose host stands still until
/// the kernels that it has launched are done (CUDA does that for memory and for modules) then waits for
/// earlier operations only, which all ranks have launched or are about to.
///
/// By timestep, a stage passes [2, 16, 3, h, w] on: latents and pose. By layers, tokens go from stage to
/// stage, and the last one, which knows each block's latents, sends them back to the first after every
/// timestep but the last. Clip 0's first latent goes from the last stage to all that have the first layer.
class StageRunner {
 public:
  /// `pipeline`: all ranks, for tensors of the stages' device; borrowed. `sink` is called on the last stage
  /// only. `activity`: of the thread that calls run().
  StageRunner(DenoiseStage stage, const RankLayout& layout, int rank, const ScheduleShape& shape,
              BlockFeed feed, const Conditions& conditions, PoseLatents pose, Communicator& pipeline,
              LatentSink sink, IdlePass idle_pass, Trace& trace, Activity& activity);
  ~StageRunner();

  void set_inputs(TraceInputs inputs) { inputs_ = std::move(inputs); }
  /// Before run(): the latents of the last blocks are kept, on the stages that have the last layer.
  void keep_latents(int64_t blocks) { history_ = LatentHistory(blocks); }
  const LatentHistory& history() const { return history_; }
  /// Before run(): steps whose outcome is given. They are done for what they leave in the caches.
  void set_replay(Replay replay) { replay_ = std::move(replay); }

  /// Runs the whole render's items of this stage, once; at a cut calls `at_cut`, which must be given if
  /// `cut_after` is; `each_tick`, which may be empty, once a tick.
  void run(const CutAfter& cut_after = {}, const AtCut& at_cut = {},
           const std::function<void()>& each_tick = {});

  DenoiseStage& stage() { return stage_; }
  /// Clip 0's first latent [16, 1, h, w] on a stage with the first layer, from the end of clip 0 on.
  at::Tensor first_latent() { return reference_of(1); }
  /// Of a continued render, before run(); on the stage's device.
  void set_first_latent(const at::Tensor& latent) { first_latent_ = {nullptr, latent}; }

  const StageCounters& counters() const { return counters_; }

 private:
  /// A transfer under way and its tensor.
  struct UnderWay {
    std::unique_ptr<Transfer> transfer;
    at::Tensor tensor;
  };

  void run_item(const ScheduleItem& item);
  void run_condition(const ScheduleItem& item);
  void run_timesteps(const ScheduleItem& item);
  void run_layers(const ScheduleItem& item);
  void finish_block(const BlockItem& item, const at::Tensor& latents);
  at::Tensor denoise(const BlockItem& item, int64_t timestep, const at::Tensor& latents, const at::Tensor& x);
  at::Tensor advance(const BlockItem& item, int64_t timestep, const at::Tensor& latents, const at::Tensor& x);

  std::optional<NextPass> coming_pass(const ScheduleItem* coming) const;

  void finish_sends();
  void exchange(const std::vector<Arrival>& arrivals);
  at::Tensor empty_for(Arrival::Kind kind) const;
  void pass_on(const at::Tensor& tensor, int stage);
  at::Tensor take_incoming();
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
  Communicator& pipeline_;
  LatentSink sink_;
  IdlePass idle_pass_;
  Trace& trace_;
  Activity& activity_;
  TraceInputs inputs_;
  LatentHistory history_;
  Replay replay_;
  StageCounters counters_;

  std::optional<NextPass> next_;          // after the item at hand
  std::vector<Message> outgoing_;         // made in this tick
  std::deque<UnderWay> incoming_, sent_;  // in the order of their use
  UnderWay first_latent_;                 // of clip 0

  std::map<int64_t, at::Tensor> latents_;  // by layers, on the last stage: blocks under way
  std::map<int64_t, at::Tensor> clip_pose_;
};

}  // namespace latentcast
