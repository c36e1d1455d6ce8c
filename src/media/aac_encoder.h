#pragma once

#include <filesystem>
#include <span>

#include "ffmpeg_handles.h"
#include "output_file.h"

namespace latentcast {

/// Encodes interleaved samples to AAC and writes the frames as an ADTS stream. Its first frame holds what the
/// encoder puts before the sound.
class AacEncoder {
 public:
  AacEncoder(int sample_rate, int channels, OutputFile& out);

  /// At most kAacFrame samples a channel; fewer only in the last call.
  void write(std::span<const float> interleaved);
  void finish();

 private:
  void encode(const AVFrame* frame);

  CodecContext encoder_;
  OutputFile& out_;
  Frame frame_ = make_frame();
  Packet packet_ = make_packet();
  int64_t position_ = 0;
};

}  // namespace latentcast
