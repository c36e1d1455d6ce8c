#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "adts.h"
#include "ffmpeg_handles.h"
#include "output_file.h"

namespace latentcast {

/// Writes one H.264 stream, and one AAC stream if `sound` is given, to an MP4 with its index in front.
class Mp4Writer {
 public:
  Mp4Writer(const std::filesystem::path& path, const AVCodecParameters& video, AVRational frame_rate,
            const std::optional<AdtsHeader>& sound);

  /// Times in frames. The packet is used up.
  void write_video(AVPacket& packet, int64_t pts, int64_t dts);
  /// A bare AAC frame (no ADTS header); times in samples. The packet is used up.
  void write_sound(AVPacket& packet, int64_t pts, int64_t duration);
  void close();

 private:
  OutputFile file_;
  OutputContext muxer_;
  AVRational frame_time_;
  AVRational sample_time_{1, 1};
  AVStream* video_ = nullptr;
  AVStream* audio_ = nullptr;
};

}  // namespace latentcast
