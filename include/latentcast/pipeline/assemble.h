#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/media/video_writer.h"
#include "latentcast/pipeline/frame_taker.h"
#include "latentcast/pipeline/timeline.h"
#include "latentcast/progress/run_paths.h"
#include "latentcast/progress/segment_store.h"

namespace latentcast {

/// Writes decoded frames as closed segments, one a clip, and joins them at the end.
class VideoAssembler : public FrameTaker {
 public:
  /// What a render begins with: clip 0 and nothing, or a checkpoint's clip and the segments before it.
  struct Start {
    int64_t clip = 0;
    std::vector<SegmentEntry> segments;
    bool replace = false;  ///< segments that come out different from before; else they are refused
  };
  /// The run's folder and its sound track are there; segments/ is made. `note`: lines for the user.
  VideoAssembler(const RunPaths& paths, const VideoSettings& settings, const Timeline& timeline,
                 const Start& start, SegmentStore::Notes note);

  /// Frames after the video's end are ignored.
  void take(const at::Tensor& frames) override;
  /// After the last clip the last frame is held to the video's end, if dropped frames are missing there.
  void end_clip() override;
  /// Joins all segments into the run's video. `on_step` is called before each.
  void join(const std::function<void()>& on_step);

  /// Frames of the video that are in segments or on their way, those of before a continuation included.
  int64_t frames_written() const { return written_; }
  /// Durable segments of the first `clips` clips.
  std::vector<SegmentEntry> finished(int64_t clips) const { return store_.entries(clips); }

 private:
  void write(const at::Tensor& frame);

  RunPaths paths_;
  VideoSettings settings_;
  Timeline timeline_;
  SoundTrackReader sound_;
  std::optional<SegmentWriter> writer_;
  SegmentStore store_;
  int64_t clip_, decoded_, written_;
  at::Tensor last_frame_;  ///< written last
};

}  // namespace latentcast
