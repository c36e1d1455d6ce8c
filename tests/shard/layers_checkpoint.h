#pragma once

#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/weights.h"
#include "latentcast/weights/checkpoint_source.h"

namespace latentcast::test {

/// Dimensions of a transformer with nothing but layers; an odd number of them, so that a layer is not always
/// gathered into the same buffer, and more rows in the feed-forward part than a LoRA's block has.
DitConfig small_layers();

/// Writes `folder`/layers.safetensors, all layers' tensors with random values of this type, and
/// `folder`/lora.safetensors, a LoRA of all their products.
void write_layers(const std::string& folder, const DitConfig& config, at::ScalarType dtype = at::kFloat);

/// Reads what write_layers() wrote. `dtype` is what the network computes in.
CheckpointSource open_layers(const std::string& folder, at::ScalarType dtype, bool with_lora);

/// All tensors of a layer, in a fixed order.
std::vector<at::Tensor> tensors_of(const DitLayerWeights& layer);

/// The name of what differs between two layers' weights in shape, type, bits or alignment; empty if nothing
/// does.
std::string difference(const DitLayerWeights& a, const DitLayerWeights& b);

}  // namespace latentcast::test
