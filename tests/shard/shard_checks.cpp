#include "shard_checks.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <vector>

#include "layers_checkpoint.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"
#include "latentcast/model/fp8_source.h"
#include "latentcast/shard/layer_layout.h"
#include "latentcast/shard/sharded_layers.h"

namespace latentcast::test {
namespace {

std::unique_ptr<ShardedLayers> shard(Communicator& world, const std::string& folder, GatherWay way,
                                     at::ScalarType dtype = at::kFloat, bool with_lora = false,
                                     bool fp8 = false) {
  CheckpointSource source = open_layers(folder, dtype, with_lora);
  Fp8Source in_fp8(source);
  RangeSource& used = fp8 ? static_cast<RangeSource&>(in_fp8) : source;
  return std::make_unique<ShardedLayers>(used, small_layers(), world.split(0), way);
}

void walk(LayerProvider& layers) {
  for (int64_t layer = 0; layer < small_layers().layers; ++layer) layers.acquire(layer);
}

}  // namespace

void check_equal_bits(Communicator& world, const std::string& folder, GatherWay way) {
  const DitConfig config = small_layers();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const bool lora : {false, true}) {
      CheckpointSource source = open_layers(folder, dtype, lora);
      ResidentLayers whole(source, config);
      const auto sharded = shard(world, folder, way, dtype, lora);
      for (int pass = 0; pass < 2; ++pass) {
        for (int64_t layer = 0; layer < config.layers; ++layer) {
          EXPECT_EQ(difference(sharded->acquire(layer), whole.acquire(layer)), "")
              << "layer " << layer << " in pass " << pass << " as " << dtype << (lora ? " with LoRA" : "");
        }
      }
    }
  }
}

void check_equal_bits_in_fp8(Communicator& world, const std::string& folder, GatherWay way) {
  const DitConfig config = small_layers();
  CheckpointSource plain = open_layers(folder, at::kBFloat16, /*with_lora=*/true);
  Fp8Source source(plain);
  ResidentLayers whole(source, config);
  const auto sharded = shard(world, folder, way, at::kBFloat16, /*with_lora=*/true, /*fp8=*/true);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    EXPECT_TRUE(whole.acquire(layer).ffn_up.is_fp8());
    EXPECT_EQ(difference(sharded->acquire(layer), whole.acquire(layer)), "") << "layer " << layer;
  }
  int64_t bf16_bytes = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    bf16_bytes += lay_out_layer(config, layer, at::kBFloat16).part_bytes(world.size());
  }
  EXPECT_LT(static_cast<double>(sharded->counters().share_bytes), 0.75 * static_cast<double>(bf16_bytes))
      << "8 bits must be what is held";
}

void check_passes_without_compute(Communicator& world, const std::string& folder, GatherWay way) {
  const DitConfig config = small_layers();
  constexpr int kPasses = 6;
  CheckpointSource source = open_layers(folder, at::kFloat, false);
  ResidentLayers whole(source, config);
  const auto sharded = shard(world, folder, way);
  for (int pass = 0; pass < kPasses; ++pass) {
    // Rank r computes in the passes r, r + 1 and r + 2: filling and draining, as a pipeline does.
    if (pass < world.rank() || pass > world.rank() + 2) {
      sharded->pass_without_compute();
      continue;
    }
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      EXPECT_EQ(difference(sharded->acquire(layer), whole.acquire(layer)), "") << layer << " in " << pass;
    }
  }
  // A rank that reads the others' shares gathers for its own passes only.
  const bool all = sharded->shares().is_collective();
  EXPECT_EQ(sharded->counters().layers_gathered, (all ? kPasses : 3) * config.layers);
}

void check_two_buffers(Communicator& world, const std::string& folder, GatherWay way) {
  const DitConfig config = small_layers();
  const auto sharded = shard(world, folder, way);
  const bool in_place = !sharded->shares().is_collective();  // tensors that a rank has whole
  std::set<const void*> storages[2];                         // of every other layer
  for (int64_t turn = 0; turn < 3 * config.layers; ++turn) {
    std::set<const void*> of_layer;
    for (const at::Tensor& tensor : tensors_of(sharded->acquire(turn % config.layers))) {
      of_layer.insert(tensor.storage().data());
    }
    EXPECT_LE(of_layer.size(), in_place ? 2U : 1U);
    storages[turn % 2].merge(of_layer);
  }
  std::vector<const void*> both;  // the share alone, or the next layer is gathered over the one in use
  std::set_intersection(storages[0].begin(), storages[0].end(), storages[1].begin(), storages[1].end(),
                        std::back_inserter(both));
  EXPECT_LE(both.size(), in_place ? 1U : 0U);
  for (const auto& of_turn : storages) EXPECT_LE(of_turn.size() - both.size(), 1U);

  int64_t layer_bytes = 0, largest = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const int64_t whole = lay_out_layer(config, layer, at::kFloat).part_bytes(world.size()) * world.size();
    layer_bytes += whole;
    largest = std::max(largest, whole);
  }
  const ShardCounters counters = sharded->counters();
  EXPECT_EQ(counters.layers_gathered, 3 * config.layers);
  EXPECT_EQ(counters.share_bytes * world.size(), layer_bytes);
  EXPECT_EQ(counters.resident_bytes, counters.share_bytes + 2 * largest);
  // Layer 0 of the pass that doesn't come is under way.
  const int64_t first = lay_out_layer(config, 0, at::kFloat).part_bytes(world.size());
  EXPECT_EQ(counters.bytes_gathered, (world.size() - 1) * (3 * layer_bytes / world.size() + first));
}

void check_order(Communicator& world, const std::string& folder, GatherWay way) {
  const DitConfig config = small_layers();
  CheckpointSource source = open_layers(folder, at::kFloat, false);
  ResidentLayers whole(source, config);
  const auto sharded = shard(world, folder, way);
  EXPECT_THROW(sharded->acquire(1), InternalError) << "before anything is gathered";
  EXPECT_EQ(difference(sharded->acquire(0), whole.acquire(0)), "");
  for (const int64_t wrong : {int64_t{0}, int64_t{2}, int64_t{-1}, config.layers}) {
    EXPECT_THROW(sharded->acquire(wrong), InternalError) << wrong;
  }
  EXPECT_THROW(sharded->pass_without_compute(), InternalError);
  for (int64_t layer = 1; layer < config.layers; ++layer) {
    EXPECT_EQ(difference(sharded->acquire(layer), whole.acquire(layer)), "");
  }
  EXPECT_THROW(sharded->acquire(config.layers), InternalError);
  sharded->pass_without_compute();
  EXPECT_EQ(difference(sharded->acquire(0), whole.acquire(0)), "");
}

void check_shares(Communicator& world, const std::string& folder, GatherWay way) {
  const DitConfig config = small_layers();
  const auto sharded = shard(world, folder, way, at::kBFloat16);
  walk(*sharded);
  const at::Tensor own = at::full({1}, sharded->counters().share_bytes, at::kLong);
  const at::Tensor all = at::empty({world.size()}, at::kLong);
  world.all_gather(own, all);
  EXPECT_TRUE(all.eq(own).all().item<bool>()) << "shares differ in size";
  int64_t needed = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    needed += lay_out_layer(config, layer, at::kBFloat16).bytes;
  }
  EXPECT_GE(all.sum().item<int64_t>(), needed);
  EXPECT_LT(all.sum().item<int64_t>(), needed + config.layers * world.size() * kShardAlignment);
}

}  // namespace latentcast::test
