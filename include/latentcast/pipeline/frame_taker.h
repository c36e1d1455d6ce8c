#pragma once

#include <ATen/core/Tensor.h>

namespace latentcast {

/// Takes a render's decoded frames; a video is made of them, or nothing (benchmarks).
class FrameTaker {
 public:
  virtual ~FrameTaker() = default;
  /// Decoded frames [n, bytes] uint8 on the CPU in order, each as SegmentWriter takes it; those that are
  /// dropped at the start included.
  virtual void take(const at::Tensor& frames) = 0;
  /// The clip's frames have all been taken.
  virtual void end_clip() = 0;
};

}  // namespace latentcast
