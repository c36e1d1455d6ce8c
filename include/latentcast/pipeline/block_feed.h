#pragma once

#include <ATen/core/Tensor.h>

#include "latentcast/pipeline/conditions.h"
#include "latentcast/pipeline/stage.h"

namespace latentcast {

/// Makes what a block starts from. Noise is made where it is used: a pure function of seed and clip.
class BlockFeed {
 public:
  BlockFeed(const RenderJob& job, const Conditions& conditions, const StageShape& shape);

  /// What every pass over the block needs.
  BlockItem item(int64_t clip, int64_t block) const;
  /// The block's noise [16, 3, h, w], float32 on the CPU. Clips come in order.
  at::Tensor noise(int64_t clip, int64_t block);

 private:
  const RenderJob& job_;
  const Conditions& conditions_;
  StageShape shape_;
  at::Tensor noise_;
  int64_t clip_ = -1;
};

}  // namespace latentcast
