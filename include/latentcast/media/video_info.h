#pragma once

#include <cstdint>
#include <filesystem>

namespace latentcast {

/// What a video file holds, found by going through all its packets.
struct VideoInfo {
  int width = 0;
  int height = 0;
  double fps = 0;
  int64_t frames = 0;
  double video_seconds = 0;
  double sound_seconds = 0;  ///< 0: no sound
};

/// Throws InputError naming the file if it is missing or no video.
VideoInfo probe_video(const std::filesystem::path& path);

}  // namespace latentcast
