#include "latentcast/pipeline/latent_history.h"

namespace latentcast {

void LatentHistory::keep(const StepLatents& step) {
  if (blocks_ == 0) {
    return;
  }
  steps_[{step.timestep, step.block}] = step.latents;
  steps_.erase(steps_.lower_bound({step.timestep, 0}),
               steps_.upper_bound({step.timestep, step.block - blocks_}));
}

std::vector<StepLatents> LatentHistory::between(int64_t first, int64_t end) const {
  std::vector<StepLatents> steps;
  for (const auto& [key, latents] : steps_) {
    const auto [timestep, block] = key;
    if (block >= first && block < end) {
      steps.push_back({timestep, block, latents});
    }
  }
  return steps;
}

at::Tensor Replay::take(int64_t timestep, int64_t block) {
  auto node = steps_.extract({timestep, block});
  return node.empty() ? at::Tensor() : std::move(node.mapped());
}

}  // namespace latentcast
