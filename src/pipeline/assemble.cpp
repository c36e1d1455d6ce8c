#include "latentcast/pipeline/assemble.h"

#include <cstdio>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/media/join.h"

namespace latentcast {
namespace {

std::filesystem::path segment_name(int64_t clip) {
  char name[32];
  std::snprintf(name, sizeof name, "%06lld.ts", static_cast<long long>(clip));
  return name;
}

}  // namespace

VideoAssembler::VideoAssembler(const std::filesystem::path& run_dir, const VideoSettings& settings,
                               const Timeline& timeline, const std::filesystem::path& sound_track,
                               int64_t first_clip)
    : folder_(run_dir / "segments"),
      settings_(settings),
      timeline_(timeline),
      sound_(sound_track),
      clip_(first_clip),
      decoded_(first_clip * timeline.infer_frames),
      written_(timeline.clip_begin(first_clip)) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) {
    throw OutputError(folder_.string() + ": can't make this folder: " + error.message() +
                      "; remove what is in its place, or choose another --run_dir");
  }
}

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
    segments_.push_back(folder_ / segment_name(clip_));
    writer_.emplace(segments_.back(), settings_, timeline_.clip_begin(clip_), &sound_);
  }
  writer_->write({frame.data_ptr<uint8_t>(), static_cast<size_t>(frame.numel())});
  ++written_;
  last_frame_ = frame;
}

void VideoAssembler::end_clip() {
  // Dropped frames may be missing at the sound's end: the last one is held.
  while (clip_ + 1 == timeline_.clips && writer_ && written_ < timeline_.video_frames) {
    write(last_frame_);
  }
  if (writer_) {
    writer_->close();
    writer_.reset();
  }
  ++clip_;
}

void VideoAssembler::join(const std::filesystem::path& video, const std::function<void()>& on_step) const {
  join_segments(segments_, video, on_step);
}

}  // namespace latentcast
