#pragma once

#include <cstdint>
#include <span>

#include "ffmpeg_handles.h"

#include "latentcast/media/video_writer.h"

namespace latentcast {

/// Frames to H.264 (x264, yuv420p, BT.709 limited range). Packets' times count frames from 0.
class H264Encoder {
 public:
  explicit H264Encoder(const VideoSettings& settings);

  const AVCodecContext& context() const { return *encoder_; }

  /// See SegmentWriter::write().
  void send(std::span<const uint8_t> yuv);
  /// No more frames; the packets held back come out of receive().
  void finish();

  /// The next packet, valid until the next call; nullptr if there is none yet (or no more, after finish()).
  AVPacket* receive();

 private:
  void fill(std::span<const uint8_t> yuv);

  VideoSettings settings_;
  CodecContext encoder_;
  Frame frame_ = make_frame();
  Packet packet_ = make_packet();
  int64_t sent_ = 0;
};

}  // namespace latentcast
