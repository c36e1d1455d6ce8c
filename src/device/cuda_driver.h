#pragma once

#include <string>
#include <vector>

namespace latentcast {

/// Names of the GPUs that the NVIDIA driver shows to this process; empty without a driver or GPU. Asks the
/// driver's own library, so that a machine without a GPU never loads CUDA's half of LibTorch.
std::vector<std::string> visible_gpus();

}  // namespace latentcast
