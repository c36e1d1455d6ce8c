#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "latentcast/comm/communicator.h"
#include "latentcast/config/render_job.h"
#include "latentcast/pipeline/timeline.h"

namespace latentcast {

/// How far a render is.
struct RenderProgress {
  std::string phase;  ///< "conditions", "weights", "render", "join"
  int64_t clips_done = 0, clips = 0;
  int64_t frames_done = 0, frames = 0;
  int64_t frames_before = 0;          ///< done by an earlier run
  double seconds = 0;                 ///< since this run's first block, or the reading of weights, was begun
  int64_t bytes_done = 0, bytes = 0;  ///< of this rank's weights, while they are read
};
using ProgressSink = std::function<void(const RenderProgress&)>;
/// Lines for the user about the run as a whole, such as the layout.
using NoteSink = std::function<void(const std::string&)>;

enum class RenderEnd {
  kDone,
  kWasFinished,  ///< by an earlier run: nothing was done
  kStopped,      ///< early; what is finished is kept, with a checkpoint to continue from
};

struct RenderResult {
  RenderEnd end = RenderEnd::kDone;
  std::string stop_reason;   ///< for people, if stopped
  bool disk_is_low = false;  ///< that was the reason
  std::filesystem::path video;
  int64_t frames = 0, clips = 0;
  int width = 0, height = 0;
  std::string device;  ///< that computed, for people
  int64_t peak_device_bytes = 0;
  std::string layout;              ///< JSON
  std::vector<std::string> ranks;  ///< on rank 0: what each rank did, JSON
};

/// Renders a validated job (see validate() and choose_unset()), from its files to the video, on all ranks of
/// `mpi`, which call it together; rank 0's job counts. Progress in clips and frames comes on the rank that
/// decodes, phases on rank 0. Continues what an earlier run of the same job left in the run directory; stops
/// at the end of a clip if asked to (progress/stop_requests.h). Throws InputError, OutputError or
/// InternalError; segments already closed stay. On several ranks an error of the user's comes on all of them,
/// as an AgreedError; one that a rank has by itself ends all ranks (MpiSession::fail()).
RenderResult render(const RenderJob& job, const MpiSession& mpi, const ProgressSink& progress,
                    const NoteSink& note);

}  // namespace latentcast
