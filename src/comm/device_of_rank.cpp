#include <string>

#include "latentcast/comm/communicator.h"
#include "latentcast/error.h"

namespace latentcast {

int device_of_rank(const World& world, int visible_gpus) {
  if (visible_gpus == 1) {
    // Slurm's --gpus-per-task shows each rank its own GPU alone. Ranks that share one are found at NCCL's
    // start.
    return 0;
  }
  if (visible_gpus < world.local_size) {
    throw InputError("rank " + std::to_string(world.rank) + " sees " + std::to_string(visible_gpus) +
                     " GPUs, but " + std::to_string(world.local_size) + " ranks run on " + world.host +
                     "; start one rank per GPU, or check CUDA_VISIBLE_DEVICES and Slurm's --gpus-per-node");
  }
  return world.local_rank;
}

}  // namespace latentcast
