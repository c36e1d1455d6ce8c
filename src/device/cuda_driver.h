#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace latentcast {

/// Names of the GPUs that the NVIDIA driver shows to this process; empty without a driver or GPU. Asks the
/// driver's own library, so that a machine without a GPU never loads CUDA's half of LibTorch.
std::vector<std::string> visible_gpus();

/// Pins memory of the system's for all GPUs; false if it can't be. The calling thread has a current GPU.
bool pin_memory(void* memory, int64_t bytes);
void unpin_memory(void* memory);

}  // namespace latentcast
