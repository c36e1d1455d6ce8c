#pragma once

#include <cstdint>

#include "latentcast/config/render_job.h"

namespace latentcast {

/// What a render computes and which of its frames reach the video. The decoder gives infer_frames frames a
/// clip; the first 3 of all are not fit to be seen.
struct Timeline {
  int64_t clips = 0;          ///< clips to render
  int64_t infer_frames = 48;  ///< decoded frames a clip
  int64_t video_frames = 0;   ///< frames of the finished video
  FirstFrames first_frames = FirstFrames::kHold;

  int64_t blocks_per_clip() const { return infer_frames / 12; }
  /// Video frames before a clip's first one.
  int64_t clip_begin(int64_t clip) const;
  /// Clips that have a frame in the video; only a trace computes others.
  int64_t seen_clips() const;
  /// Whether any frame of this block is seen.
  bool is_seen(int64_t clip, int64_t block) const;
};

/// Decoded frames that are dropped at the very start.
inline constexpr int64_t kDroppedFrames = 3;

/// The video ends with the sound, at the last frame that the sound's clips have, or at num_clip. Where the
/// first frames are dropped and the sound fills its clips, up to kDroppedFrames more are wanted than there
/// are.
Timeline make_timeline(const RenderJob& job, int64_t clips_in_sound, double sound_seconds);

}  // namespace latentcast
