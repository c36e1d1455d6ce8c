#pragma once

#include <cstdint>
#include <memory>

#include "ffmpeg_handles.h"

struct AVFilterContext;
struct AVFilterGraph;

namespace latentcast {

struct FilterGraphDeleter {
  void operator()(AVFilterGraph* graph) const;
};

/// What the filters say of a pair of frames.
struct FrameLikeness {
  double error = 0;  ///< mean squared difference of the samples, a part of the largest sample's square
  double ssim = 0;
};

/// Measures pairs of frames with FFmpeg's filters psnr and ssim.
class FrameMeter {
 public:
  /// For frames of the size and format of these two; `b`'s are converted to a's format.
  FrameMeter(const AVFrame& a, const AVFrame& b);

  /// The frames' timestamps are overwritten.
  FrameLikeness measure(AVFrame& a, AVFrame& b);

 private:
  AVFilterContext* add_source(const char* name, const AVFrame& frame);
  void connect(int format);

  std::unique_ptr<AVFilterGraph, FilterGraphDeleter> graph_;
  AVFilterContext *a_ = nullptr, *b_ = nullptr, *sink_ = nullptr;  // owned by the graph
  Frame measured_ = make_frame();
  int64_t count_ = 0;
};

}  // namespace latentcast
