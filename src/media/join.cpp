#include "latentcast/media/join.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "adts.h"
#include "mp4_writer.h"
#include "segment_reader.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kStampModulus = int64_t{1} << 33;
constexpr int kTicks = 90000;

struct ParametersDeleter {
  void operator()(AVCodecParameters* parameters) const { avcodec_parameters_free(&parameters); }
};

AdtsHeader adts_of(const SegmentReader& reader, const AVPacket& packet) {
  const auto header = parse_adts({packet.data, static_cast<size_t>(packet.size)});
  if (!header || header->frame_bytes != packet.size) reader.fail("its sound can't be understood");
  return *header;
}

/// The sound of the first segment is that of all; none if it has none.
std::optional<AdtsHeader> find_sound(const fs::path& path) {
  SegmentReader reader(path);
  while (const AVPacket* packet = reader.next()) {
    if (!reader.is_video(*packet)) return adts_of(reader, *packet);
  }
  return std::nullopt;
}

bool same_video(const AVCodecParameters& a, const AVCodecParameters& b) {
  return a.width == b.width && a.height == b.height && a.extradata_size == b.extradata_size &&
         std::memcmp(a.extradata, b.extradata, static_cast<size_t>(a.extradata_size)) == 0;
}

/// Puts segments one after the other. Times are counted, not taken over: MPEG-TS rounds those of the sound,
/// and the last frames of a very short segment may have others than those of a long one.
class Joiner {
 public:
  Joiner(const fs::path& first, fs::path out) : sound_(find_sound(first)), out_(std::move(out)) {}

  void append(const fs::path& path) {
    SegmentReader reader(path);
    if (!writer_) start(reader);
    require_continuation(reader);
    int64_t count = 0;
    while (AVPacket* packet = reader.next()) {
      if (reader.is_video(*packet)) {
        append_video(reader, *packet, count++);
      } else {
        append_sound(reader, *packet);
      }
    }
    frames_ += reader.frames();
  }

  void finish() {
    // The sound's last packet reaches beyond it, up to 64 ms: more than a frame.
    if (waiting_->data) write_waiting(std::min<int64_t>(kAacFrame, samples_before(frames_) - waiting_start_));
    writer_->close();
  }

 private:
  void start(const SegmentReader& reader) {
    video_.reset(avcodec_parameters_alloc());
    if (!video_) throw InternalError("out of memory for a stream");
    require_ffmpeg(avcodec_parameters_copy(video_.get(), &reader.video()), "describe the video");
    frame_rate_ = reader.frame_rate();
    first_stamp_ = reader.first_stamp();
    writer_ = std::make_unique<Mp4Writer>(out_, *video_, frame_rate_, sound_);
  }

  void require_continuation(const SegmentReader& reader) const {
    if (!same_video(*video_, reader.video()) || av_cmp_q(frame_rate_, reader.frame_rate()) != 0) {
      reader.fail("its size or settings are not those of the first segment");
    }
    const int64_t expected =
        first_stamp_ + av_rescale(frames_, int64_t{kTicks} * frame_rate_.den, frame_rate_.num);
    if ((expected - reader.first_stamp()) % kStampModulus != 0) {
      reader.fail("it doesn't begin where the segment before it ends");
    }
  }

  void append_video(const SegmentReader& reader, AVPacket& packet, int64_t count) {
    const int64_t pts = frames_ + reader.frame_of(packet);
    const int64_t dts = frames_ + count - video_->video_delay;
    if (pts < dts) reader.fail("its frames are out of order");
    writer_->write_video(packet, pts, dts);
  }

  void append_sound(const SegmentReader& reader, AVPacket& packet) {
    const AdtsHeader header = adts_of(reader, packet);
    if (!sound_ || header.sample_rate != sound_->sample_rate || header.channels != sound_->channels) {
      reader.fail("its sound is not that of the first segment");
    }
    const int64_t start = samples_before(frames_) + reader.time_of(packet, header.sample_rate);
    if (waiting_->data) {
      if (std::abs(waiting_start_ + kAacFrame - start) > kAacFrame / 2)
        reader.fail("sound is missing before or in it");
      write_waiting(kAacFrame);
      waiting_start_ += kAacFrame;
    } else {
      waiting_start_ = start;
    }
    packet.data += header.header_bytes;
    packet.size -= header.header_bytes;
    av_packet_move_ref(waiting_.get(), &packet);
  }

  void write_waiting(int64_t duration) {
    if (duration > 0) writer_->write_sound(*waiting_, waiting_start_, duration);
    av_packet_unref(waiting_.get());
  }

  int64_t samples_before(int64_t frame) const {
    return av_rescale(frame, int64_t{sound_->sample_rate} * frame_rate_.den, frame_rate_.num);
  }

  std::optional<AdtsHeader> sound_;
  fs::path out_;
  std::unique_ptr<AVCodecParameters, ParametersDeleter> video_;
  AVRational frame_rate_{0, 1};
  int64_t first_stamp_ = 0;
  std::unique_ptr<Mp4Writer> writer_;
  int64_t frames_ = 0;
  Packet waiting_ = make_packet();  ///< sound that is written once it is known whether it is the last
  int64_t waiting_start_ = 0;
};

}  // namespace

void join_segments(const std::vector<fs::path>& segments, const fs::path& out,
                   const std::function<void()>& on_step) {
  if (segments.empty()) throw InternalError("a video of no segments");
  Joiner joiner(segments.front(), out);
  for (const fs::path& path : segments) {
    if (on_step) on_step();
    joiner.append(path);
  }
  joiner.finish();
}

}  // namespace latentcast
