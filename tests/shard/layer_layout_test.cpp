#include "latentcast/shard/layer_layout.h"

#include <algorithm>
#include <string>

#include "layers_checkpoint.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

TEST(LayerLayout, PlacesTensorsOneAfterAnother) {
  const DitConfig config = test::small_layers();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      const LayerLayout layout = lay_out_layer(config, layer, dtype);
      int64_t end = 0;
      for (const PlacedTensor& tensor : layout.tensors) {
        EXPECT_EQ(tensor.offset % kShardAlignment, 0) << tensor.name;
        EXPECT_GE(tensor.offset, end) << tensor.name;
        EXPECT_LT(tensor.offset, end + kShardAlignment) << tensor.name;
        EXPECT_EQ(tensor.bytes, c10::multiply_integers(tensor.shape) *
                                    static_cast<int64_t>(c10::elementSize(tensor.dtype)));
        end = tensor.offset + tensor.bytes;
      }
      EXPECT_GE(layout.bytes, end);
      EXPECT_LT(layout.bytes, end + kShardAlignment);
    }
  }
}

TEST(LayerLayout, KeepsModulationInFloat) {
  const LayerLayout layout = lay_out_layer(test::small_layers(), 1, at::kBFloat16);
  for (const PlacedTensor& tensor : layout.tensors) {
    EXPECT_EQ(tensor.dtype, tensor.name == "blocks.1.modulation" ? at::kFloat : at::kBFloat16) << tensor.name;
  }
}

TEST(LayerLayout, DividesIntoEqualAlignedParts) {
  const LayerLayout layout = lay_out_layer(test::small_layers(), 0, at::kBFloat16);
  for (int parts = 1; parts <= 9; ++parts) {
    const int64_t part = layout.part_bytes(parts);
    EXPECT_EQ(part % kShardAlignment, 0);
    EXPECT_GE(part * parts, layout.bytes);
    EXPECT_LT((part - kShardAlignment) * parts, layout.bytes) << "more padding than needed";
  }
}

TEST(LayerLayout, ViewsABuffer) {
  const DitConfig config = test::small_layers();
  const LayerLayout layout = lay_out_layer(config, 3, at::kBFloat16);
  const at::Tensor buffer = at::randint(0, 127, {layout.bytes + 1000}, at::kByte);
  const DitLayerWeights layer = view_layer(layout, config, 3, buffer);
  ASSERT_TRUE(layer.injector);
  EXPECT_EQ(test::tensors_of(layer).size(), layout.tensors.size());
  for (const at::Tensor& tensor : test::tensors_of(layer)) EXPECT_TRUE(tensor.is_alias_of(buffer));
  EXPECT_EQ(layer.modulation.scalar_type(), at::kFloat);
  const auto up = std::find_if(layout.tensors.begin(), layout.tensors.end(),
                               [](const PlacedTensor& t) { return t.name == "blocks.3.ffn.0.weight"; });
  ASSERT_NE(up, layout.tensors.end());
  EXPECT_EQ(static_cast<const std::byte*>(layer.ffn_up.weight.const_data_ptr()),
            static_cast<const std::byte*>(buffer.const_data_ptr()) + up->offset);
}

}  // namespace
}  // namespace latentcast
