#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "adts.h"
#include "ffmpeg_handles.h"

namespace latentcast {

/// Reads a file of SegmentWriter packet by packet and checks that nothing is missing from it.
class SegmentReader {
 public:
  explicit SegmentReader(const std::filesystem::path& path);

  const AVCodecParameters& video() const { return *video_->codecpar; }
  AVRational frame_rate() const { return frame_rate_; }

  /// The next packet of the video or sound, valid until the next call; nullptr at the end, where the segment
  /// is known to be whole.
  AVPacket* next();

  bool is_video(const AVPacket& packet) const { return packet.stream_index == video_->index; }

  /// Timestamp of the first frame, in ticks of 1/90000 s, modulo 2^33.
  int64_t first_stamp() const { return video_->start_time; }

  /// A video packet's frame number in the segment.
  int64_t frame_of(const AVPacket& packet) const;

  /// A packet's time after the first frame, in units of 1/rate s.
  int64_t time_of(const AVPacket& packet, int rate) const;

  int64_t frames() const { return frames_; }

  [[noreturn]] void fail(const std::string& reason) const;

 private:
  void check_end() const;

  std::filesystem::path path_;
  InputContext context_;
  AVStream* video_ = nullptr;
  AVRational frame_rate_{0, 1};
  Packet packet_ = make_packet();
  int64_t frames_ = 0;
  int64_t last_frame_ = -1;
};

}  // namespace latentcast
