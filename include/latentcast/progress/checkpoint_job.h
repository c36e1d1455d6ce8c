#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/progress/checkpoint_manifest.h"
#include "latentcast/progress/run_paths.h"

namespace latentcast {

/// Writes a rank's files of a checkpoint on a thread of its own, behind the computing. Only one thread of a
/// process should write checkpoints, so a render has one of these. Tensors are held until they are on their
/// way to the disk and then let go, so a caller with little memory can lend slots of a ring (a tensor whose
/// deleter frees the slot). An error of the thread comes with the caller's next call; nothing after it is
/// written.
class CheckpointQueue {
 public:
  /// `most_bytes`: add() waits while more than this is waiting to be written.
  CheckpointQueue(RunPaths paths, int64_t most_bytes);
  /// Drops what isn't written.
  ~CheckpointQueue();
  CheckpointQueue(const CheckpointQueue&) = delete;
  CheckpointQueue& operator=(const CheckpointQueue&) = delete;

  /// A new file of the checkpoint at `position`; the one before is closed. See CheckpointFileWriter.
  void open(int64_t position, const CheckpointPart& part);
  void add(const std::string& name, const at::Tensor& tensor) { add_parts(name, {tensor}); }
  /// One tensor, given as parts that lie one behind the other along its first dimension.
  void add_parts(const std::string& name, std::vector<at::Tensor> parts);
  void add_number(const std::string& name, int64_t value);
  /// Closes the last file; does not wait.
  void close();

  /// Whether everything given so far is durable (or has failed: then files() throws).
  bool idle() const;
  /// Waits until it is, and returns the files written since the last call. `on_step` is called now and then
  /// while the thread gets on; a disk that takes nothing any more is no progress.
  std::vector<CheckpointFile> files(const std::function<void()>& on_step = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace latentcast
