#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "latentcast/config/render_job.h"
#include "latentcast/pipeline/timeline.h"

namespace latentcast {

/// How far a render is.
struct RenderProgress {
  std::string phase;  ///< "conditions", "weights", "render", "join"
  int64_t clips_done = 0, clips = 0;
  int64_t frames_done = 0, frames = 0;
  double seconds = 0;  ///< since the first block was begun
};
using ProgressSink = std::function<void(const RenderProgress&)>;

struct RenderResult {
  std::filesystem::path video;
  int64_t frames = 0, clips = 0;
  int width = 0, height = 0;
  std::string device;  ///< that computed, for people
  int64_t peak_device_bytes = 0;
};

/// Renders a validated job (see validate() and choose_unset()) on this process's device, from its files to
/// the video. Throws InputError, OutputError or InternalError; segments already closed stay.
RenderResult render(const RenderJob& job, const ProgressSink& progress);

}  // namespace latentcast
