#pragma once

#include <filesystem>

#include "ffmpeg_handles.h"

#include "latentcast/media/picture.h"

namespace latentcast {

/// Turns decoded frames into RGB. RGB, grey and palette formats lose nothing (more than 8 bits: the upper 8);
/// the others go through swscale by their own matrix and range, BT.601 limited if they don't say.
class RgbConverter {
 public:
  /// `scale_flags`: swscale's SWS_... for YUV formats. `path` is only what messages name.
  RgbConverter(int scale_flags, const std::filesystem::path& path) : scale_flags_(scale_flags), path_(path) {}

  Picture convert(const AVFrame& frame);

 private:
  void prepare(const AVFrame& frame);

  int scale_flags_;
  std::filesystem::path path_;
  Scaler scaler_;
  int width_ = 0;
  int height_ = 0;
  int format_ = -1;
};

}  // namespace latentcast
