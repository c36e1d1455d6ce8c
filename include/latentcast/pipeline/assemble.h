#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/media/video_writer.h"
#include "latentcast/pipeline/timeline.h"

namespace latentcast {

/// Writes decoded frames as closed segments, one a clip, and joins them at the end.
class VideoAssembler {
 public:
  /// `run_dir` exists; its folder segments/ is made. `sound_track`: file of encode_sound_track(). Begins with
  /// `first_clip`.
  VideoAssembler(const std::filesystem::path& run_dir, const VideoSettings& settings,
                 const Timeline& timeline, const std::filesystem::path& sound_track, int64_t first_clip = 0);

  /// Decoded frames [n, H, W, 3] in order, those that are dropped at the start included. Frames after the
  /// video's end are ignored.
  void take(const at::Tensor& frames);
  /// The clip's frames have all been taken. After the last clip the last frame is held to the video's end, if
  /// dropped frames are missing there.
  void end_clip();
  /// Joins all segments into `video`. `on_step` is called before each.
  void join(const std::filesystem::path& video, const std::function<void()>& on_step) const;

  int64_t frames_written() const { return written_; }
  const std::vector<std::filesystem::path>& segments() const { return segments_; }

 private:
  void write(const at::Tensor& frame);

  std::filesystem::path folder_;
  VideoSettings settings_;
  Timeline timeline_;
  SoundTrackReader sound_;
  std::optional<SegmentWriter> writer_;
  std::vector<std::filesystem::path> segments_;
  int64_t clip_, decoded_, written_;
  at::Tensor last_frame_;  ///< written last
};

}  // namespace latentcast
