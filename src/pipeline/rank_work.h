#pragma once

#include <memory>
#include <optional>
#include <string>

#include "rank_saver.h"
#include "rank_setup.h"

#include "latentcast/comm/communicator.h"
#include "latentcast/pipeline/assemble.h"
#include "latentcast/pipeline/cache_setup.h"
#include "latentcast/pipeline/conditions.h"
#include "latentcast/pipeline/cuts.h"
#include "latentcast/pipeline/decode_runner.h"
#include "latentcast/pipeline/decode_worker.h"
#include "latentcast/pipeline/schedule.h"
#include "latentcast/pipeline/stage_runner.h"
#include "latentcast/pipeline/timeline.h"
#include "latentcast/pipeline/trace.h"
#include "latentcast/progress/checkpoint_reader.h"
#include "latentcast/shard/sharded_layers.h"

namespace latentcast {

/// What a render computes, known once the sound is.
struct RenderPlan {
  Timeline timeline;
  ScheduleShape schedule;
};

/// A rank's part of a render: its stage, its decoder, both, with the weights and links that they need.
class RankWork {
 public:
  /// References must outlive this. `video` is given on the rank that decodes, `decoded` is called there after
  /// every block. Collective: communicators are made by all ranks. A failure is this rank's own.
  RankWork(const RankSetup& setup, const RenderPlan& plan, const Conditions& conditions,
           const MpiSession& mpi, VideoAssembler* video, BlockSink decoded, Trace& trace);

  /// Takes up the state of a checkpoint, whose first clip (RunStart::first_done()) is the plan's.
  void restore(const CheckpointReader& checkpoint);

  /// All blocks of the render, or those up to a cut that ends it early: then returns false, and the
  /// checkpoint there is durable and has its name.
  bool run(Cuts& cuts, RankSaver& saver);

  /// The rank's stage; null if it only decodes.
  DenoiseStage* stage() { return stage_ ? &stage_->stage() : nullptr; }

  /// Where the stage's caches in host memory lie; null if there are none.
  HostPieces* host_pieces() { return pieces_.get(); }

  /// How sharded weights are gathered, in a line for people; empty if they aren't sharded.
  std::string gathers_text() const;
  /// Why tokens and latents don't pass by copy engines, if they were to; else empty.
  std::string sends_text() const;

  /// What this rank did, as a JSON object for report.json.
  std::string report() const;

 private:
  void make_links(const MpiSession& mpi);
  void make_decoder(VideoAssembler& video, BlockSink decoded);
  void make_stage();
  std::unique_ptr<LayerProvider> make_layers(RangeSource& source, const StagePlan& plan);
  StageMemory make_memory(const StagePlan& plan);
  LatentSink finished_sink();
  /// On a GPU with a stage the decoder has a thread and a stream, unless its memory is to be the stage's in
  /// between; a trace takes one thread.
  bool decodes_beside() const;
  RankState state();
  void hand_over(const at::Tensor& latents);

  const RankSetup& setup_;
  const RenderPlan& plan_;
  const Conditions& conditions_;
  Trace& trace_;
  VideoAssembler* video_;

  std::unique_ptr<Communicator> pipeline_, shard_group_;
  std::shared_ptr<HostPieces> pieces_;  // of the stage's caches in host memory; null if there are none
  std::optional<DecodeRunner> decoder_;
  std::optional<StageRunner> stage_;
  std::optional<DecodeWorker> worker_;  // uses the decoder: gone before it
  ShardedLayers* sharded_ = nullptr;    // owned by the stage
  std::unique_ptr<Transfer> handed_over_;
  at::Tensor handed_over_tensor_;
};

}  // namespace latentcast
