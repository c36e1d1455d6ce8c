#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host_copies.h"
#include "rank_setup.h"
#include <ATen/core/Tensor.h>

#include "latentcast/comm/communicator.h"
#include "latentcast/pipeline/assemble.h"
#include "latentcast/pipeline/decode.h"
#include "latentcast/pipeline/stage.h"
#include "latentcast/progress/checkpoint_job.h"
#include "latentcast/progress/checkpoint_manifest.h"

namespace latentcast {

/// What a rank holds of a render's state at a cut; null where it has no part.
struct RankState {
  DenoiseStage* stage = nullptr;
  at::Tensor first_latent;  ///< [16, 1, h, w]; on rank 0
  DecodeStage* decoder = nullptr;
  const VideoAssembler* video = nullptr;
};

/// Names of the tensors in a checkpoint's files (docs/files.md).
std::string cache_name(int64_t layer, const char* what);
std::string causal_name(size_t index);

/// Takes checkpoints at cuts. Copies a rank's state to the host, which is all that computing waits for; a
/// thread of its own writes it, and rank 0 gives the checkpoint its name once every rank's files are durable.
/// Main thread only.
class RankSaver {
 public:
  /// `links`: all ranks, CPU tensors, used by nobody else. `identity`: of the job.
  RankSaver(const RankSetup& setup, std::string identity, std::unique_ptr<Communicator> links);
  ~RankSaver();
  RankSaver(const RankSaver&) = delete;
  RankSaver& operator=(const RankSaver&) = delete;

  /// Before the first block: makes room in pinned host memory for what the stage will give, in the
  /// background.
  void prepare(const DenoiseStage& stage);
  /// At a cut, on all ranks: begins the checkpoint whose next clip is `position`. Waits for the one before.
  void save(int64_t position, const RankState& state);
  /// Now and then: passes finished files on; on rank 0 names the checkpoint. Never waits. Throws what went
  /// wrong with a file since.
  void poll();
  /// Whether a checkpoint is on its way, as far as this rank knows.
  bool busy() const { return position_.has_value(); }
  /// Waits until it has its name. On all ranks.
  void finish();

 private:
  struct Incoming {
    at::Tensor length, text;
    std::unique_ptr<Transfer> length_transfer, text_transfer;
    bool done = false;
  };

  void write_stage(const RankState& state);
  void write_decoder(const DecodeStage& decoder);
  void add(const std::string& name, const at::Tensor& tensor);
  void send_entries();
  void receive_entries();
  void collect(const CheckpointManifest& from_rank);
  bool all_here() const;
  void publish();
  CheckpointManifest own_entries();

  const RankSetup& setup_;
  RunPaths paths_;
  std::string identity_;
  std::unique_ptr<Communicator> links_;
  HostCopies copies_;
  CheckpointQueue queue_;
  std::optional<int64_t> position_;  ///< of the checkpoint on its way
  const VideoAssembler* video_ = nullptr;
  bool entries_sent_ = false;
  std::vector<Incoming> incoming_;  ///< on rank 0, of each other rank
  CheckpointManifest manifest_;     ///< on rank 0, of the checkpoint on its way
  std::future<void> publishing_;    ///< on rank 0
  at::Tensor sent_length_, sent_text_;
  std::unique_ptr<Transfer> length_transfer_, text_transfer_;
};

}  // namespace latentcast
