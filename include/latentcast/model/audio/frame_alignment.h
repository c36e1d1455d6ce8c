#pragma once

#include <cstdint>
#include <vector>

namespace latentcast {

/// How the sound's features, 30 a second, are laid onto video frames, 25 a second, clip by clip.
struct AudioAlignment {
  int64_t clips = 0;  ///< clips that the sound fills, the last one partly
  std::vector<int64_t>
      picked;  ///< feature (at 30 a second) of each video frame; features_30 or more: silence
};

/// Features at 30 a second that encoder_frames (50 a second) give.
int64_t features_at_30(int64_t encoder_frames);

/// The public rule: clips = ⌊features / (infer_frames · 30/25)⌋ + 1, frame i takes feature round(30 · i/25).
AudioAlignment align_audio(int64_t features_30, int64_t infer_frames);

}  // namespace latentcast
