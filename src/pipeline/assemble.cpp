#include "latentcast/pipeline/assemble.h"

#include <utility>

#include <ATen/ATen.h>

#include "latentcast/media/join.h"
#include "latentcast/progress/pause_point.h"

namespace latentcast {
namespace {

SegmentStore::Settings store_settings(const Timeline& timeline, bool replace) {
  SegmentStore::Settings settings;
  settings.clips = timeline.seen_clips();
  settings.frames_a_clip = timeline.infer_frames;
  settings.replace = replace;
  return settings;
}

}  // namespace

VideoAssembler::VideoAssembler(const RunPaths& paths, const VideoSettings& settings, const Timeline& timeline,
                               const Start& start, SegmentStore::Notes note)
    : paths_(paths),
      settings_(settings),
      timeline_(timeline),
      sound_(paths.sound_track()),
      store_(paths, store_settings(timeline, start.replace), start.segments, std::move(note)),
      clip_(start.clip),
      decoded_(start.clip * timeline.infer_frames),
      written_(timeline.clip_begin(start.clip)) {}

void VideoAssembler::take(const at::Tensor& frames) {
  for (int64_t i = 0; i < frames.size(0); ++i, ++decoded_) {
    if (decoded_ < kDroppedFrames) {
      continue;
    }
    // The first frame that is fit to be seen stands in for those before it.
    const bool hold = decoded_ == kDroppedFrames && timeline_.first_frames == FirstFrames::kHold;
    for (int64_t copy = hold ? -kDroppedFrames : 0; copy <= 0; ++copy) {
      write(frames[i]);
    }
  }
}

void VideoAssembler::write(const at::Tensor& frame) {
  if (written_ == timeline_.video_frames) {
    return;
  }
  if (!writer_) {
    writer_.emplace(store_.place_for(clip_), settings_, timeline_.clip_begin(clip_), &sound_);
  }
  writer_->write({frame.data_ptr<uint8_t>(), static_cast<size_t>(frame.numel())});
  ++written_;
  pause_point("segment-writing");
  last_frame_ = frame;
}

void VideoAssembler::end_clip() {
  // Dropped frames may be missing at the sound's end: the last one is held.
  while (clip_ + 1 == timeline_.clips && writer_ && written_ < timeline_.video_frames) {
    write(last_frame_);
  }
  if (writer_) {
    const int64_t frames = writer_->close([] { pause_point("segment-unnamed"); });
    writer_.reset();
    store_.commit(clip_, frames);
  }
  ++clip_;
}

void VideoAssembler::join(const std::function<void()>& on_step) {
  join_segments(store_.files(), paths_.video, on_step);
  pause_point("video-joined");
  store_.finish(paths_.video);
}

}  // namespace latentcast
