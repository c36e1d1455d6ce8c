#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "media_input.h"

namespace latentcast {

/// A sound file as interleaved float samples (full scale = 1) at its own rate, block by block.
class SoundDecoder {
 public:
  /// With `fold_to_stereo`, more than two channels are mixed to two by FFmpeg's usual weights.
  SoundDecoder(const std::filesystem::path& path, bool fold_to_stereo);

  int sample_rate() const { return sample_rate_; }
  int channels() const { return channels_; }

  /// The next samples, valid until the next call; empty at the end. Throws InputError for a damaged file, for
  /// samples that aren't numbers and for a rate that changes midway.
  std::span<const float> next();

 private:
  void prepare(const AVFrame& frame);

  MediaInput input_;
  int sample_rate_ = 0;
  int channels_ = 0;
  SampleConverter converter_;
  int converter_format_ = -1;
  int converter_channels_ = 0;
  std::vector<float> block_;
};

}  // namespace latentcast
