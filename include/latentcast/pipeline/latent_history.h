#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace latentcast {

/// A block's latents [16, 3, h, w], float32, as a timestep leaves them: what the next timestep takes, or
/// after the last one what the decoder does. Blocks are counted over all clips.
struct StepLatents {
  int64_t timestep = 0, block = 0;
  at::Tensor latents;
};

/// The latents of the last clips, on the rank that computes them. From these (and the noise, which the seed
/// gives) their blocks can be denoised once more: every step sees the input that it had, so only what it
/// finds in the caches can be new to it.
class LatentHistory {
 public:
  /// Keeps nothing.
  LatentHistory() = default;
  /// Keeps `blocks` blocks of each timestep. Clips of few blocks need more clips.
  explicit LatentHistory(int64_t blocks) : blocks_(blocks) {}

  void keep(const StepLatents& step);
  /// Of blocks [first, end), by timestep and block.
  std::vector<StepLatents> between(int64_t first, int64_t end) const;

 private:
  int64_t blocks_ = 0;
  std::map<std::pair<int64_t, int64_t>, at::Tensor> steps_;
};

/// Latents of a history that is gone through once more; each is used once.
class Replay {
 public:
  void add(const StepLatents& step) { steps_[{step.timestep, step.block}] = step.latents; }
  /// Undefined if the step isn't among them.
  at::Tensor take(int64_t timestep, int64_t block);

 private:
  std::map<std::pair<int64_t, int64_t>, at::Tensor> steps_;
};

}  // namespace latentcast
