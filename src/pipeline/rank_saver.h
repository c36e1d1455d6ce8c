#pragma once

#include <cstdint>
#include <functional>
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
#include "latentcast/pipeline/host_pieces.h"
#include "latentcast/pipeline/latent_history.h"
#include "latentcast/pipeline/stage.h"
#include "latentcast/progress/checkpoint_job.h"
#include "latentcast/progress/checkpoint_manifest.h"

namespace latentcast {

/// What a rank holds of a render's state at a cut; null where it has no part.
struct RankState {
  DenoiseStage* stage = nullptr;
  const LatentHistory* history = nullptr;  ///< of the stage
  at::Tensor first_latent;                 ///< [16, 1, h, w]; on rank 0
  DecodeStage* decoder = nullptr;
  const VideoAssembler* video = nullptr;
};

/// Names of the tensors in a checkpoint's files (docs/files.md).
std::string cache_name(const CachedRows& rows);
std::string causal_name(size_t index);
std::string block_name(int64_t block);

/// How many clips' latents a light checkpoint holds, if there were as many: 12 blocks, usually three clips. A
/// block sees the three before it, in every layer anew; the decoder sees some 36 latents. With 4 layers that
/// is all there is to see; with more, what is missing is faint (docs/slurm.md has figures).
int64_t clips_replayed(int64_t blocks_per_clip);

/// Takes checkpoints at cuts. Copies a rank's state to the host, which is all that computing waits for; a
/// thread of its own writes it, and rank 0 gives the checkpoint its name once every rank's files are durable.
/// Main thread only.
class RankSaver {
 public:
  struct Settings {
    std::string identity;    ///< of the job
    int64_t first_clip = 0;  ///< with which the pipeline begins, those that are done once more included
    std::function<void(const std::string&)> note;  ///< for the user, should memory be short; may be empty
    /// For all that waits to be written; 0: half of what the host has, shared by its ranks.
    int64_t host_bytes = 0;
  };
  /// `links`: all ranks, CPU tensors, used by nobody else.
  RankSaver(const RankSetup& setup, Settings settings, std::unique_ptr<Communicator> links);
  ~RankSaver();
  RankSaver(const RankSaver&) = delete;
  RankSaver& operator=(const RankSaver&) = delete;

  /// Before the first block: makes room in host memory for what the stage will give, in the background. On a
  /// CPU only if host_bytes was given: other memory is as good.
  /// `pieces`: of the stage's caches in host memory, which are not copied: more of them; may be null.
  void prepare(const DenoiseStage& stage, HostPieces* pieces = nullptr);
  /// Waits until it is there; its bytes.
  int64_t prepared() { return copies_.block_bytes(); }
  /// At a cut, on all ranks: begins the checkpoint whose next clip is `position`. Waits for the one before,
  /// and where the host's memory is too short for the copies, for the disk.
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

  void prepare_spares(const DenoiseStage& stage, HostPieces& pieces);
  void write_stage(const DenoiseStage& stage);
  void write_decoder(const DecodeStage& decoder);
  void write_history(const RankState& state);
  void open(const CheckpointPart& part);
  void add(const std::string& name, const at::Tensor& tensor);
  void add_cache(const CachedRows& rows);
  at::Tensor copied(const at::Tensor& tensor);
  void hand_over();
  void tell_shortage();
  int64_t replay_from() const;
  void send_entries();
  void receive_entries();
  void collect(const CheckpointManifest& from_rank);
  bool all_here() const;
  void publish();
  CheckpointManifest own_entries();

  const RankSetup& setup_;
  RunPaths paths_;
  bool light_, wants_block_, told_ = false;
  Settings settings_;
  std::unique_ptr<Communicator> links_;
  HostCopies copies_;
  HostPieces* pieces_ = nullptr;
  int64_t spare_pieces_ = 0, spare_bytes_ = 0;    ///< wanted; of one
  std::vector<std::function<void()>> under_way_;  ///< for the queue, once the copies are there
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
