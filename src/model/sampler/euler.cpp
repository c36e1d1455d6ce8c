#include "latentcast/model/sampler/euler.h"

#include <cstddef>

namespace latentcast {
namespace {

constexpr double kTrainingSteps = 1000.0;

double shifted(double sigma, double shift) { return shift * sigma / (1.0 + (shift - 1.0) * sigma); }

}  // namespace

EulerSchedule make_euler_schedule(int steps, double shift) {
  // The training range's ends pass through float32 in diffusers.
  const double highest = static_cast<float>(shifted(1.0, shift)) * kTrainingSteps;
  const double lowest =
      static_cast<float>(shifted(static_cast<float>(1.0 / kTrainingSteps), shift)) * kTrainingSteps;
  EulerSchedule schedule;
  for (int i = 0; i < steps; ++i) {
    const double position = steps == 1 ? 0.0 : static_cast<double>(i) / (steps - 1);
    const double timestep = highest + (lowest - highest) * position;
    const auto sigma = static_cast<float>(shifted(timestep / kTrainingSteps, shift));
    schedule.sigmas.push_back(sigma);
    schedule.timesteps.push_back(sigma * static_cast<float>(kTrainingSteps));
  }
  schedule.sigmas.push_back(0.0f);
  return schedule;
}

}  // namespace latentcast
