#include "latentcast/media/video_compare.h"

#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "frame_meter.h"
#include "media_input.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

std::string size_of(const AVFrame& frame) {
  return std::to_string(frame.width) + "x" + std::to_string(frame.height);
}

[[noreturn]] void refuse(const fs::path& a, const std::string& of_a, const fs::path& b,
                         const std::string& of_b) {
  throw InputError("can't compare '" + a.string() + "' (" + of_a + ") with '" + b.string() + "' (" + of_b +
                   "): give two videos of the same size and length");
}

/// Frames of a video that must not change their size or format.
class Frames {
 public:
  explicit Frames(const fs::path& path) : path_(path), input_(path, AVMEDIA_TYPE_VIDEO, "video") {}

  AVFrame* next() {
    AVFrame* frame = input_.next_frame();
    if (!frame) return nullptr;
    if (count_ > 0 && (frame->width != width_ || frame->height != height_ || frame->format != format_)) {
      input_.fail("frame " + std::to_string(count_) + " has another size or format than those before it");
    }
    width_ = frame->width;
    height_ = frame->height;
    format_ = frame->format;
    ++count_;
    return frame;
  }

  /// Reads to the end.
  std::string length() {
    while (next() != nullptr) {
    }
    return std::to_string(count_) + (count_ == 1 ? " frame" : " frames");
  }

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  MediaInput input_;
  int width_ = 0, height_ = 0, format_ = -1;
  int64_t count_ = 0;
};

}  // namespace

void Likeness::add_frame(double error, double ssim) {
  ++frames_;
  errors_ += error;
  ssims_ += ssim;
}

void Likeness::add(const Likeness& other) {
  frames_ += other.frames_;
  errors_ += other.errors_;
  ssims_ += other.ssims_;
}

double Likeness::psnr() const {
  if (identical()) return std::numeric_limits<double>::infinity();
  return -10 * std::log10(errors_ / static_cast<double>(frames_));
}

double Likeness::ssim() const { return frames_ == 0 ? 1 : ssims_ / static_cast<double>(frames_); }

std::vector<Likeness> compare_videos(const fs::path& a, const fs::path& b, int64_t segment_frames) {
  Frames frames_a(a), frames_b(b);
  std::vector<Likeness> segments;
  std::optional<FrameMeter> meter;
  for (;;) {
    AVFrame* of_a = frames_a.next();
    AVFrame* of_b = frames_b.next();
    if (!of_a && !of_b) break;
    if (!of_a || !of_b) refuse(a, frames_a.length(), b, frames_b.length());
    if (!meter) {
      if (of_a->width != of_b->width || of_a->height != of_b->height)
        refuse(a, size_of(*of_a), b, size_of(*of_b));
      meter.emplace(*of_a, *of_b);
    }
    const FrameLikeness likeness = meter->measure(*of_a, *of_b);
    if (segments.empty() || segments.back().frames() == segment_frames) segments.emplace_back();
    segments.back().add_frame(likeness.error, likeness.ssim);
  }
  if (segments.empty()) throw_unreadable(a, "video", "it has no frames; give another file");
  return segments;
}

}  // namespace latentcast
