#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/weights.h"

namespace latentcast {

/// Every tensor's place and every part's length are multiples of this many bytes: kernels may round
/// differently on other alignments, and this is what a GPU's allocator gives tensors of their own at least.
inline constexpr int64_t kShardAlignment = 256;

inline constexpr const char* kScales = ".scale";

/// Where one tensor of a layer lies in the layer's flat buffer.
struct PlacedTensor {
  std::string name;  ///< as in the checkpoint
  std::vector<int64_t> shape;
  at::ScalarType dtype = at::kFloat;
  int64_t offset = 0, bytes = 0;
  /// Of all tensors that were taken together with it (TensorSource::take_together()): they are used in one
  /// piece.
  int64_t together_begin = 0, together_end = 0;
  /// If these are the scales of a product's weight in 8 bits: the weight's shape. The name is then the
  /// weight's with kScales behind it.
  std::vector<int64_t> weight_shape = {};
};

/// All tensors of one layer in one flat buffer, in the order in which take_dit_layer() takes them.
struct LayerLayout {
  std::vector<PlacedTensor> tensors;
  int64_t bytes = 0;  ///< a multiple of kShardAlignment

  /// Bytes of each of `parts` equal parts of the buffer, padded at its end as needed.
  int64_t part_bytes(int parts) const;
};

/// `dtype` is that of the tensors that the network doesn't ask for in float32; `fp8`: products' weights have
/// 8 bits.
LayerLayout lay_out_layer(const DitConfig& config, int64_t layer, at::ScalarType dtype, bool fp8 = false);

/// A part of a layer's buffer that is somewhere else: the bytes from `begin` on (1-D, uint8). Tensors that
/// lie wholly in it are used there.
struct PartInPlace {
  int64_t begin = 0;
  at::Tensor bytes;

  bool holds(const PlacedTensor& tensor) const;
};

/// The layer's weights as views of a buffer that is laid out like this (1-D, uint8, on any device).
DitLayerWeights view_layer(const LayerLayout& layout, const DitConfig& config, int64_t layer,
                           const at::Tensor& buffer, const PartInPlace& in_place = {});

}  // namespace latentcast
