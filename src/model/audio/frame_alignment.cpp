#include "latentcast/model/audio/frame_alignment.h"

#include <algorithm>
#include <cmath>

namespace latentcast {
namespace {

constexpr double kFeatureRate = 30.0;
constexpr double kFrameRate = 25.0;

}  // namespace

int64_t features_at_30(int64_t encoder_frames) {
  return static_cast<int64_t>(static_cast<double>(encoder_frames) / 50.0 * kFeatureRate);
}

AudioAlignment align_audio(int64_t features_30, int64_t infer_frames) {
  AudioAlignment alignment;
  const double per_clip = static_cast<double>(infer_frames) * (kFeatureRate / kFrameRate);
  alignment.clips = static_cast<int64_t>(static_cast<double>(features_30) / per_clip) + 1;
  const int64_t frames = alignment.clips * infer_frames;
  const int64_t last =
      static_cast<int64_t>(std::ceil(static_cast<double>(frames) / kFrameRate * kFeatureRate)) - 1;
  const double step = (static_cast<double>(frames) / kFrameRate) / static_cast<double>(frames);
  alignment.picked.reserve(static_cast<size_t>(frames));
  for (int64_t i = 0; i < frames; ++i) {
    const double seconds = static_cast<double>(i) * step;
    // nearbyint rounds half to even, as numpy does.
    const auto feature = static_cast<int64_t>(std::nearbyint(seconds * kFeatureRate));
    alignment.picked.push_back(std::min(feature, last));
  }
  return alignment;
}

}  // namespace latentcast
