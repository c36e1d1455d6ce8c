#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/progress/checkpoint_manifest.h"
#include "latentcast/progress/checksum.h"
#include "latentcast/progress/run_paths.h"

namespace latentcast {

/// Reads a finished checkpoint, on any rank and any number of ranks. Any thread, one at a time.
class CheckpointReader {
 public:
  /// Reads and checks the manifest. Throws InputError saying what is wrong with it.
  explicit CheckpointReader(const std::filesystem::path& folder);

  const CheckpointManifest& manifest() const { return manifest_; }
  const std::filesystem::path& folder() const { return folder_; }

  /// Reads files in full and compares size and checksum: all of them, or this rank's share. Throws InputError
  /// naming the damaged file.
  void verify(int share = 0, int shares = 1, const StepSink& on_step = {}) const;

  /// Every tensor read is compared with its own checksum. Throws InputError if it is missing or damaged.
  at::Tensor read(const CheckpointPart& part, const std::string& name) const;
  /// Into memory of the caller's (pinned, say): on the CPU, contiguous, same shape and type.
  void read_into(const CheckpointPart& part, const std::string& name, const at::Tensor& target) const;
  int64_t number(const CheckpointPart& part, const std::string& name) const;
  /// Names of the tensors in a part, sorted.
  std::vector<std::string> names(const CheckpointPart& part) const;
  bool has(const CheckpointPart& part) const;
  /// The part that holds a layer of a timestep's cache, however they were divided when it was written.
  CheckpointPart holding(int64_t timestep, int64_t layer) const;

 private:
  std::filesystem::path path_of(const CheckpointPart& part) const;

  std::filesystem::path folder_;
  CheckpointManifest manifest_;
};

/// Finished checkpoints of a run, newest first, as their positions. Unfinished folders are not among them.
std::vector<int64_t> checkpoint_positions(const RunPaths& paths);

struct FoundCheckpoint {
  std::optional<int64_t> position;  ///< none: there is no checkpoint at all
  std::vector<std::string> notes;   ///< why newer ones were passed over, a line each
};

/// The newest checkpoint whose manifest is whole, whose job is `identity` (JobIdentity::hash()), whose files
/// are there in their size and whose segments are on the disk unchanged; `damaged`: positions that
/// CheckpointReader::verify() refused, with the reason, and that are passed over. If there are checkpoints
/// but none can be used, throws InputError with the reasons. For one rank; the others are told.
struct DamagedCheckpoint {
  int64_t position = 0;
  std::string reason;
};
FoundCheckpoint find_checkpoint(const RunPaths& paths, const std::string& identity,
                                const std::vector<DamagedCheckpoint>& damaged = {});

/// The same with every file read in full, for a process alone.
FoundCheckpoint find_verified_checkpoint(const RunPaths& paths, const std::string& identity);

}  // namespace latentcast
