#pragma once

#include "latentcast/model/dit/weights.h"

namespace latentcast {

/// Throws InputError naming the dimension if the kernels that GPUs compute a layer with can't take the model's
/// sizes.
void check_gpu_sizes(const DitConfig& config);

}  // namespace latentcast
