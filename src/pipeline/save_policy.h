#pragma once

#include <chrono>
#include <cstdint>

#include "latentcast/config/render_job.h"
#include "latentcast/pipeline/cuts.h"

namespace latentcast {

/// When a checkpoint is due, by the job's --checkpoint_minutes and --checkpoint_clips. Rank 0's.
class SavePolicy {
 public:
  SavePolicy(const RenderJob& job, int64_t first_clip)
      : minutes_(job.checkpoint_minutes),
        clips_(job.checkpoint_clips.value_or(0)),
        first_clip_(first_clip),
        last_position_(first_clip) {}

  /// `busy`: the last checkpoint is still being written. Clips before the first are done once more after a
  /// light checkpoint, and there is none at them.
  Cut after(int64_t clip, bool stop, bool busy) {
    if (clip < first_clip_) {
      return Cut::kNone;
    }
    const Clock::time_point now = Clock::now();
    const bool due =
        (minutes_ > 0 && now - last_ >= std::chrono::duration<double, std::ratio<60>>(minutes_)) ||
        (clips_ > 0 && clip + 1 - last_position_ >= clips_);
    if (!stop && (busy || !due)) {
      return Cut::kNone;
    }
    last_ = now;
    last_position_ = clip + 1;
    return stop ? Cut::kStop : Cut::kSave;
  }

 private:
  using Clock = std::chrono::steady_clock;
  double minutes_;
  int64_t clips_, first_clip_, last_position_;
  Clock::time_point last_ = Clock::now();
};

}  // namespace latentcast
