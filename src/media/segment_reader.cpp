#include "segment_reader.h"

#include <algorithm>
#include <system_error>

#include "media_input.h"

namespace latentcast {
namespace {

constexpr char kWhat[] = "video segment";
constexpr int kTransportPacket = 188;
constexpr int kTicks = 90000;

InputContext open_segment(const std::filesystem::path& path) {
  require_input_file(path, kWhat);
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) throw_unreadable(path, kWhat, error.message());
  if (size == 0 || size % kTransportPacket != 0) {
    throw_unreadable(path, kWhat, "it is cut short; render it again");
  }
  return open_media_file(path, kWhat, av_find_input_format("mpegts"));
}

}  // namespace

SegmentReader::SegmentReader(const std::filesystem::path& path) : path_(path), context_(open_segment(path)) {
  const int index = av_find_best_stream(context_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (index < 0) fail("there is no video in it");
  video_ = context_->streams[index];
  const AVCodecParameters& parameters = *video_->codecpar;
  if (parameters.codec_id != AV_CODEC_ID_H264 || parameters.width <= 0 || parameters.extradata_size <= 0) {
    fail("its video can't be understood");
  }
  frame_rate_ = av_guess_frame_rate(context_.get(), video_, nullptr);
  if (frame_rate_.num <= 0 || frame_rate_.den <= 0) fail("it doesn't say its frame rate");
  if (video_->start_time == AV_NOPTS_VALUE) fail("its frames have no times");
}

void SegmentReader::fail(const std::string& reason) const {
  throw_unreadable(path_, kWhat, reason + "; it is damaged, render it again");
}

int64_t SegmentReader::time_of(const AVPacket& packet, int rate) const {
  return av_rescale(packet.pts - first_stamp(), rate, kTicks);
}

int64_t SegmentReader::frame_of(const AVPacket& packet) const {
  return av_rescale(packet.pts - first_stamp(), frame_rate_.num, int64_t{kTicks} * frame_rate_.den);
}

AVPacket* SegmentReader::next() {
  for (;;) {
    av_packet_unref(packet_.get());
    const int code = av_read_frame(context_.get(), packet_.get());
    if (code == AVERROR_EOF) {
      check_end();
      return nullptr;
    }
    if (code < 0) fail(ffmpeg_reason(code));
    const AVCodecParameters& parameters = *context_->streams[packet_->stream_index]->codecpar;
    const bool is_sound = parameters.codec_id == AV_CODEC_ID_AAC;
    if (!is_video(*packet_) && !is_sound) continue;
    if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0) fail("packets are missing from it");
    if (packet_->pts == AV_NOPTS_VALUE) fail("a packet has no time");
    if (is_video(*packet_)) {
      if (frames_ == 0 && packet_->pts != first_stamp()) fail("it doesn't begin with its first frame");
      last_frame_ = std::max(last_frame_, frame_of(*packet_));
      ++frames_;
    }
    return packet_.get();
  }
}

void SegmentReader::check_end() const {
  if (frames_ == 0) fail("it has no frames");
  if (last_frame_ + 1 != frames_) fail("frames are missing from it");
}

}  // namespace latentcast
