#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "latentcast/comm/communicator.h"
#include "latentcast/model/dit/weights.h"

namespace latentcast::test {

/// Writes `folder`/layers.safetensors, all layers in float32, without holding more than one tensor. Returns
/// its bytes.
int64_t write_large_layers(const std::string& folder, const DitConfig& config);

enum class Holding { kShards, kOwnLayers };

/// What ranks, each a process, took together while they loaded and used a checkpoint.
struct LoadMemory {
  int64_t peak = 0;      ///< sum over ranks of the most memory (Pss) each had at a time
  int64_t added = 0;     ///< the same without what each had before
  int64_t held = 0;      ///< sum over ranks of the bytes of weights that are kept
  int64_t gathered = 0;  ///< sum over ranks of the bytes of gathered layers
};

/// Loads the layers and looks at all their values in one pass, collectively.
LoadMemory load_and_measure(Communicator& world, const std::string& folder, const DitConfig& config,
                            Holding holding, at::ScalarType dtype);

}  // namespace latentcast::test
