#pragma once

#include <vector>

namespace latentcast {

/// Flow-matching Euler schedule (Lipman et al. 2023; Esser et al. 2024 for the shift), as diffusers'
/// FlowMatchEulerDiscreteScheduler computes it: the shift acts once on the training range and once on the
/// steps.
struct EulerSchedule {
  std::vector<float> timesteps;  ///< one a step, in 0..1000
  std::vector<float> sigmas;     ///< one a step and a closing 0

  /// What a step adds to the latents, as a factor of the velocity.
  float step(size_t index) const { return sigmas[index + 1] - sigmas[index]; }
};

EulerSchedule make_euler_schedule(int steps, double shift);

}  // namespace latentcast
