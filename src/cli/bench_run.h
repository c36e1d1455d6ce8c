#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench_layouts.h"
#include "bench_model.h"
#include "timed_communicator.h"

#include "latentcast/comm/activity.h"
#include "latentcast/pipeline/decode_runner.h"
#include "latentcast/pipeline/decode_worker.h"
#include "latentcast/pipeline/stage_runner.h"
#include "latentcast/shard/sharded_layers.h"

namespace latentcast {

/// What a layout is measured with, the same for all of a run.
struct BenchSetup {
  const BenchJob& job;
  const ModelShape& model;
  ComputeDevice device;
  int rank = 0;
  Communicator& pipeline;  ///< all ranks, for the device's tensors
  RankActivity& activity;
  DecodeMode decode = DecodeMode::kOnline;
  StageShape shape() const { return {job.height / 8, job.width / 8, 4}; }
};

/// Bytes of weights that a rank holds.
struct HeldWeights {
  int64_t layers = 0;       ///< of the transformer's; sharded: the rank's share and the two gathered layers
  int64_t transformer = 0;  ///< these and what every stage has besides
  int64_t decoder = 0;
};

/// One rank's part of a layout, made of the parts that a render is made of, with weights at random and
/// without a video.
class BenchRun {
 public:
  /// Makes weights and decoder. The layout's ranks call it, and all other members, together.
  BenchRun(const BenchSetup& setup, const BenchLayout& bench, const RankLayout& layout,
           std::unique_ptr<Communicator> shard_group);

  /// Makes the stage with its caches, for so many blocks.
  void make(const BenchBlocks& blocks);
  /// Runs them all; returns when the device has done them. All ranks begin together.
  void run();

  /// Seconds since the start at which each block was decoded, or where nothing is decoded, denoised; on the
  /// rank that did it. After run().
  std::vector<double> block_ends() const;
  HeldWeights weights() const { return weights_; }
  /// How layers are gathered; empty if they aren't.
  std::string gathers() const { return sharded_ == nullptr ? std::string() : sharded_->shares().way(); }
  /// Seconds that computing waited for others.
  double waited(WaitKind kind, double begin, double end) const { return waits_.seconds(kind, begin, end); }

 private:
  class NoVideo;

  void make_layers(std::unique_ptr<Communicator> shard_group);
  void make_decoder(const ScheduleShape& schedule);
  void make_conditions(int64_t clips);
  void make_stage(const ScheduleShape& schedule);
  LatentSink finished_sink();
  void count_off();
  void hand_over(const at::Tensor& latents);
  bool decodes_beside() const;
  bool decodes() const { return bench_.decoder != BenchDecoder::kOff && layout_.decodes(setup_.rank); }

  const BenchSetup& setup_;
  BenchLayout bench_;
  RankLayout layout_;
  RenderJob job_;
  Checkpoint no_files_;
  Inputs inputs_;
  Conditions conditions_;
  Trace off_;
  WaitLog waits_;
  TimedCommunicator pipeline_;
  HeldWeights weights_;

  DitGlobalWeights globals_;
  std::unique_ptr<LayerProvider> layers_;
  ShardedLayers* sharded_ = nullptr;  // owned by layers_, then by the stage
  std::shared_ptr<const VaeDecoder> vae_;
  std::unique_ptr<FrameTaker> video_;
  std::optional<DecodeRunner> decoder_;
  std::optional<StageRunner> stage_;
  std::unique_ptr<Transfer> handed_over_;
  at::Tensor handed_over_tensor_;
  TimeMarks denoised_;
  std::vector<double> decoded_;
  std::optional<DecodeWorker> worker_;  // last: its thread uses the decoder and what that writes to
};

}  // namespace latentcast
