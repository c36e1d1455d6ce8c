#include "latentcast/media/pose_video.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

extern "C" {
#include <libavutil/display.h>
}

#include "frame_to_rgb.h"
#include "media_input.h"
#include "orientation.h"
#include "resample.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr double kFramesPerSecond = 25;
/// Containers round timestamps to a millisecond or so.
constexpr double kTimestampRounding = 0.002;
constexpr float kMissing = -1;  ///< a whole frame
constexpr float kPadding = 0;   ///< beside a frame

/// As an EXIF orientation, what a phone's "turn it by" says.
int stream_orientation(const AVStream& stream) {
  size_t size = 0;
  const uint8_t* matrix = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
  if (!matrix || size < 9 * sizeof(int32_t)) return 1;
  const double turn = av_display_rotation_get(reinterpret_cast<const int32_t*>(matrix));
  if (std::isnan(turn)) return 1;
  const long quarters = std::lround(-turn / 90) & 3;  // clockwise
  constexpr int kOrientations[] = {1, 6, 3, 8};
  return kOrientations[quarters];
}

struct SourceFrame {
  double seconds = 0;  ///< after the first
  Picture picture;
};

/// The source's frames in order, with the time of each.
class SourceFrames {
 public:
  explicit SourceFrames(const std::filesystem::path& path)
      : input_(path, AVMEDIA_TYPE_VIDEO, "pose video"),
        // What public readers of videos use; finer flags would give other pixels than theirs.
        converter_(SWS_BICUBIC, path),
        orientation_(stream_orientation(input_.stream())) {
    const AVRational rate = av_guess_frame_rate(&input_.format(), &input_.stream(), nullptr);
    const AVRational average = input_.stream().avg_frame_rate;
    if (average.num > 0 && average.den > 0) {
      rate_ = av_q2d(average);
    } else if (rate.num > 0 && rate.den > 0) {
      rate_ = av_q2d(rate);
    }
  }

  double rate() const { return rate_; }

  std::optional<SourceFrame> next() {
    const AVFrame* frame = advance();
    if (!frame) return std::nullopt;
    return SourceFrame{seconds_, turn_upright(converter_.convert(*frame), orientation_)};
  }

  bool skip() { return advance() != nullptr; }

 private:
  const AVFrame* advance() {
    const AVFrame* frame = input_.next_frame();
    if (!frame) return nullptr;
    const int64_t stamp = frame->best_effort_timestamp;
    if (stamp == AV_NOPTS_VALUE) {
      seconds_ = first_ ? 0 : seconds_ + 1 / rate_;
    } else {
      if (first_) start_ = stamp;
      seconds_ = static_cast<double>(stamp - start_) * av_q2d(input_.stream().time_base);
    }
    first_ = false;
    return frame;
  }

  MediaInput input_;
  RgbConverter converter_;
  int orientation_;
  double rate_ = kFramesPerSecond;
  double seconds_ = 0;
  int64_t start_ = 0;
  bool first_ = true;
};

}  // namespace

class PoseReader::Impl {
 public:
  Impl(const std::filesystem::path& path, int width, int height, PoseTiming timing)
      : source_(path), width_(width), height_(height), timing_(timing) {
    if (width <= 0 || height <= 0) throw InternalError("a pose video of no size");
    current_ = source_.next();
    if (!current_) throw_unreadable(path, "pose video", "it has no frames; give another file");
    if (timing_ == PoseTiming::kNearest) ahead_ = source_.next();
    interval_ = std::max(1L, std::lround(std::nearbyint(source_.rate() / kFramesPerSecond)));
  }

  std::vector<float> read(int count) {
    const size_t area = static_cast<size_t>(width_) * height_;
    std::vector<float> frames(area * 3 * count, kMissing);
    for (int k = 0; k < count; ++k, ++position_) {
      move();
      if (!current_) continue;
      const std::vector<float>& pixels = current_pixels();
      for (size_t i = 0; i < area * 3; ++i) frames[(i % 3 * count + k) * area + i / 3] = pixels[i];
    }
    return frames;
  }

  void skip(int64_t count) {
    for (int64_t k = 0; k < count && current_; ++k, ++position_) move();
  }

 private:
  void move() {
    if (current_ && !(timing_ == PoseTiming::kNearest ? to_nearest() : to_numbered())) current_.reset();
  }

  /// Moves to the source frame for position_; false past the end.
  bool to_nearest() {
    const double wanted = static_cast<double>(position_) / kFramesPerSecond;
    while (ahead_ && ahead_->seconds - wanted < wanted - current_->seconds) {
      set_current(std::move(ahead_));
      ahead_ = source_.next();
    }
    return ahead_ || wanted < current_->seconds + 1 / source_.rate() - kTimestampRounding;
  }

  bool to_numbered() {
    if (position_ == 0) return true;
    for (long i = 1; i < interval_; ++i) {
      if (!source_.skip()) return false;
    }
    set_current(source_.next());
    return current_.has_value();
  }

  void set_current(std::optional<SourceFrame> frame) {
    current_ = std::move(frame);
    pixels_.clear();
  }

  const std::vector<float>& current_pixels() {
    if (!pixels_.empty()) return pixels_;
    const Picture& picture = current_->picture;
    std::vector<float> scaled(picture.rgb.size());
    std::transform(picture.rgb.begin(), picture.rgb.end(), scaled.begin(),
                   [](uint8_t value) { return static_cast<float>(value) / 255.0F * 2.0F - 1.0F; });
    pixels_ = resample<FloatPixels>(scaled, picture.width, picture.height, width_, height_, kPadding);
    return pixels_;
  }

  SourceFrames source_;
  int width_;
  int height_;
  PoseTiming timing_;
  long interval_ = 1;
  int64_t position_ = 0;
  std::optional<SourceFrame> current_;  ///< empty once the video has ended
  std::optional<SourceFrame> ahead_;
  std::vector<float> pixels_;  ///< of current_, [height][width][3]; empty until wanted
};

PoseReader::PoseReader(const std::filesystem::path& path, int width, int height, PoseTiming timing)
    : impl_(std::make_unique<Impl>(path, width, height, timing)) {}
PoseReader::~PoseReader() = default;
PoseReader::PoseReader(PoseReader&&) noexcept = default;
PoseReader& PoseReader::operator=(PoseReader&&) noexcept = default;

std::vector<float> PoseReader::read(int count) { return impl_->read(count); }
void PoseReader::skip(int64_t count) { impl_->skip(count); }

}  // namespace latentcast
