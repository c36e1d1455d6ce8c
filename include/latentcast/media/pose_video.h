#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

namespace latentcast {

/// Which source frame becomes frame k at 25 frames/s.
enum class PoseTiming {
  kNearest,  ///< the one nearest to k/25 s after the first: plays at its own speed
  kPublic,   ///< the (k * max(1, round(fps / 25)))-th, as the public code: other rates play at another speed
};

/// Reads a pose video frame by frame; never holds more than two source frames.
class PoseReader {
 public:
  /// Frames come out `width` x `height`. Throws InputError naming the file if it is missing or no video.
  PoseReader(const std::filesystem::path& path, int width, int height,
             PoseTiming timing = PoseTiming::kNearest);
  ~PoseReader();
  PoseReader(PoseReader&&) noexcept;
  PoseReader& operator=(PoseReader&&) noexcept;

  /// The next `count` frames, laid out [3][count][height][width], in -1..1: shorter side scaled to min(width,
  /// height) in float with antialiasing, cut out in the middle (0 where too short). Frames past the video's
  /// end are -1.
  std::vector<float> read(int count);
  /// Passes over frames as if they had been read.
  void skip(int64_t count);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace latentcast
