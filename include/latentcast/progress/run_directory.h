#pragma once

#include <optional>
#include <string>
#include <vector>

#include "latentcast/config/render_job.h"
#include "latentcast/progress/job_identity.h"
#include "latentcast/progress/run_lock.h"
#include "latentcast/progress/run_paths.h"

namespace latentcast {

enum class RunState {
  kFresh,      ///< nothing to build on: starts with clip 0
  kResumable,  ///< checkpoints are there (see find_checkpoint())
  kRendered,   ///< every segment is there, only the video is missing (or is wanted at another place)
  kFinished,   ///< the video is there
};

/// What an earlier run in the job's folder chose (seed, threads) where the job leaves it open, so that the
/// same command line continues. Call before choose_unset(). Without an earlier run changes nothing. Throws
/// InputError if job.yaml there is damaged.
void adopt_earlier_choices(RenderJob& job);

/// A run's folder, opened by rank 0 alone: made, locked for as long as the object lives, and found to hold
/// this job or none.
class RunDirectory {
 public:
  /// Refuses before any weight is read: InputError if another run is in the folder (naming host and process),
  /// if it holds another job (naming the field), or if there is a stop file. OutputError if it can't be
  /// written to.
  explicit RunDirectory(const RenderJob& job);

  /// The second half, once the job's files have been read: throws InputError naming the input or weight that
  /// was changed since the run began. Writes job.yaml and identity.json. Returns how far the run is.
  RunState begin(const JobIdentity& identity);

  const RunPaths& paths() const { return paths_; }
  /// Lines for the user, such as a file system without locks.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  RenderJob job_;
  RunPaths paths_;
  std::optional<RunLock> lock_;
  std::vector<std::string> notes_;
};

/// How far the run in this folder is, by what its manifests say; reads no segment and no checkpoint.
RunState run_state(const RunPaths& paths);

/// What the checkpoints in the folder take, while none is being written.
int64_t bytes_of_checkpoints(const RunPaths& paths);

/// Throws OutputError with the figures unless the folder's disk has room for `bytes` of checkpoints, the
/// place of those that are there included: new ones take it.
void check_room(const RunPaths& paths, int64_t bytes, const std::string& what);

}  // namespace latentcast
