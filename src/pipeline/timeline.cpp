#include "latentcast/pipeline/timeline.h"

#include <algorithm>
#include <cmath>

namespace latentcast {
namespace {

constexpr double kFramesPerSecond = 25.0;

}  // namespace

int64_t Timeline::clip_begin(int64_t clip) const {
  const int64_t missing = first_frames == FirstFrames::kDrop ? kDroppedFrames : 0;
  return clip == 0 ? 0 : clip * infer_frames - missing;
}

int64_t Timeline::seen_clips() const {
  int64_t seen = clips;
  while (seen > 1 && !is_seen(seen - 1, 0)) {
    --seen;
  }
  return seen;
}

bool Timeline::is_seen(int64_t clip, int64_t block) const {
  const int64_t missing = first_frames == FirstFrames::kDrop ? kDroppedFrames : 0;
  return clip * infer_frames + block * 12 - missing < video_frames;
}

Timeline make_timeline(const RenderJob& job, int64_t clips_in_sound, double sound_seconds) {
  Timeline timeline;
  timeline.clips = job.num_clip ? std::min<int64_t>(*job.num_clip, clips_in_sound) : clips_in_sound;
  timeline.infer_frames = job.infer_frames;
  timeline.first_frames = job.first_frames;
  // A sound that ends within a frame still needs that frame; half a sample of slack against rounding.
  const auto needed = static_cast<int64_t>(std::ceil(sound_seconds * kFramesPerSecond - 1e-4));
  // Where the sound's last clip is rendered, the video ends with the sound, even if dropped frames are
  // missing from it then.
  const bool whole = timeline.clips == clips_in_sound;
  timeline.video_frames =
      std::min(needed, whole ? timeline.clips * timeline.infer_frames : timeline.clip_begin(timeline.clips));
  // A clip that no frame is seen of is only rendered for a trace.
  while (job.trace.empty() && timeline.clips > 1 && !timeline.is_seen(timeline.clips - 1, 0)) {
    --timeline.clips;
  }
  return timeline;
}

}  // namespace latentcast
