#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/progress/checkpoint_manifest.h"
#include "latentcast/progress/run_paths.h"

namespace latentcast {

// The order of things, between ranks:
//   one rank    begin_checkpoint()
//   every rank  a CheckpointFileWriter for each part it owns, close()
//   all done    (the pipeline's business: the files' entries go to one rank)
//   one rank    publish_checkpoint()
// Until that last step nothing but an unfinished folder is there, which the next begin_checkpoint() sweeps.

/// Makes the folder in which the checkpoint at `position` is written; sweeps unfinished ones of before.
/// Throws OutputError.
void begin_checkpoint(const RunPaths& paths, int64_t position);

/// Writes one HDF5 file of a checkpoint (docs/files.md has its layout). Large tensors go straight from their
/// memory to the disk; nothing is kept. Needs the folder of begin_checkpoint(). One thread at a time, any
/// thread.
class CheckpointFileWriter {
 public:
  CheckpointFileWriter(const RunPaths& paths, int64_t position, const CheckpointPart& part);
  /// Without close() the file stays unfinished.
  ~CheckpointFileWriter();
  CheckpointFileWriter(const CheckpointFileWriter&) = delete;
  CheckpointFileWriter& operator=(const CheckpointFileWriter&) = delete;

  /// `name`: a path such as "layer-12/key". The tensor lies on the CPU, contiguous: float32, float16, bf16,
  /// float64, int8 to int64, uint8, bool, and the two 8-bit floats; any shape. Throws OutputError with the
  /// system's reason.
  void add(const std::string& name, const at::Tensor& tensor) { add_parts(name, {tensor}); }
  /// One tensor, given as parts that lie one behind the other along its first dimension.
  void add_parts(const std::string& name, const std::vector<at::Tensor>& parts);
  void add_number(const std::string& name, int64_t value);
  /// Makes the file durable.
  CheckpointFile close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// All files are durable: writes the manifest, makes the folder durable and gives it its name; then removes
/// all checkpoints but the newest two. Throws OutputError; older checkpoints are not touched before the new
/// one has its name.
void publish_checkpoint(const RunPaths& paths, const CheckpointManifest& manifest);

}  // namespace latentcast
