#include "latentcast/budget/memory_model.h"

#include "sizes.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

using test::large_model;
using test::large_work;
using testing::HasSubstr;

constexpr int64_t kGib = int64_t{1} << 30;

int64_t part(const std::vector<MemoryPart>& parts, const std::string& name) {
  int64_t bytes = 0;
  for (const MemoryPart& one : parts) bytes += one.name == name ? one.bytes : 0;
  return bytes;
}

int64_t all_layers(bool fp8) {
  int64_t bytes = 0;
  for (int64_t layer = 0; layer < 40; ++layer) bytes += layer_bytes(large_model(), layer, 2, fp8).tensors;
  return bytes;
}

RankLayout layout(int world_size, Split split, bool shard = false) {
  LayoutRequest request = test::ranks(world_size);
  request.split = split;
  request.shard = shard;
  request.decoder = DecoderPlace::kStream;
  return make_layout(request);
}

// The figures are what `latentcast bench pipeline` printed on an H100, which counts its tensors.
TEST(MemoryModel, CountsTheLargeModelsWeights) {
  EXPECT_EQ(all_layers(true), 15962562560);
  // Of a stage with the first layer.
  const GlobalBytes globals = global_bytes(large_model(), 2);
  EXPECT_EQ(globals.kept + globals.first + globals.audio, 430792036);
  MemoryMeans means;
  const auto sharded = estimate_memory(large_model(), large_work(), layout(2, Split::kTimestep, true), means);
  EXPECT_EQ(part(sharded[0].device, "layers"), 17979938816);
  means.fp8 = true;
  LayoutRequest request = test::ranks(2);
  request.partition = {LayerPartition::Kind::kGiven, {22, 18}};
  const auto by_layers = estimate_memory(large_model(), large_work(), make_layout(request), means);
  EXPECT_EQ(part(by_layers[0].device, "layers"), 8684914688);
  EXPECT_EQ(part(by_layers[1].device, "layers"), 7277647872);
}

/// Bytes of tensors and attention caches that were there at most (`bench pipeline` on two H200s, the last
/// three since decoding takes less).
struct Measured {
  int world_size;
  Split split;
  bool shard, fp8;
  int64_t rows, columns;
  std::vector<int64_t> bytes;
  std::vector<int64_t> cut = {};
  CacheMeans cache = {};
};

TEST(MemoryModel, AgreesWithWhatGpusTook) {
  const std::vector<Measured> runs = {
      {1, Split::kTimestep, false, true, 48, 88, {63678465536}},
      {2, Split::kLayers, false, true, 48, 88, {34441416704, 30400359936}},
      {2, Split::kTimestep, true, true, 48, 88, {33807071232, 35812746752}},
      {2, Split::kLayers, false, true, 48, 80, {32468971520, 28582755840}},
      {1, Split::kTimestep, false, true, 32, 48, {34455033344}},
      {2, Split::kLayers, false, false, 48, 88, {41223615488, 39463791104}},
      {1, Split::kTimestep, false, true, 48, 88, {63455708672}},
      {1, Split::kTimestep, false, true, 48, 88, {23436903936}, {}, {.on_host = true, .device_layers = 1}},
      {2,
       Split::kLayers,
       false,
       true,
       48,
       88,
       {15734516736},
       {23, 17},
       {.on_host = true, .device_layers = 3}},
  };
  for (const Measured& run : runs) {
    LayoutRequest request = test::ranks(run.world_size);
    request.split = run.split;
    request.shard = run.shard;
    request.decoder = DecoderPlace::kStream;
    // The cuts of that run.
    if (run.split == Split::kLayers) {
      request.partition.kind = LayerPartition::Kind::kGiven;
      request.partition.given = run.fp8 ? std::vector<int64_t>{22, 18} : std::vector<int64_t>{21, 19};
      if (!run.cut.empty()) request.partition.given = run.cut;
    }
    WorkSizes work = large_work();
    work.latent_rows = run.rows, work.latent_columns = run.columns;
    ModelSizes model = large_model();
    model.decoder_state = model.decoder_state * run.rows * run.columns / (48 * 88);
    MemoryMeans means;
    means.fp8 = run.fp8;
    means.cache = run.cache;
    const auto ranks = estimate_memory(model, work, make_layout(request), means);
    // Of the last run rank 0 alone: the other waited a fifth of the time, and its decoding and its steps
    // weren't at their most at once.
    for (size_t rank = 0; rank < run.bytes.size(); ++rank) {
      const RankMemory& one = ranks[rank];
      const int64_t rest = part(one.device, "slack") + part(one.device, "CUDA and NCCL");
      const auto estimated = static_cast<double>(one.device_bytes() - rest);
      const auto measured = static_cast<double>(run.bytes[rank]);
      EXPECT_NEAR(estimated / measured, 1.0, 0.01) << run.world_size << "," << rank << "," << run.columns;
    }
  }
}

TEST(MemoryModel, PartsGoWhereTheyAreUsed) {
  LayoutRequest request = test::ranks(3);
  request.decoder = DecoderPlace::kRank;
  const auto ranks = estimate_memory(large_model(), large_work(), make_layout(request), {});
  ASSERT_EQ(ranks.size(), 3u);
  EXPECT_EQ(part(ranks[0].device, "decoder's state"), 0);
  EXPECT_EQ(part(ranks[2].device, "decoder's state"), 2 * large_model().decoder_state);
  EXPECT_EQ(part(ranks[2].device, "layers"), 0);
  EXPECT_EQ(part(ranks[2].device, "attention caches"), 0);
  EXPECT_GT(part(ranks[2].device, "CUDA and NCCL"), 0);
}

TEST(MemoryModel, EachMeansTakesSomethingAway) {
  const RankLayout one = layout(1, Split::kTimestep);
  MemoryMeans means;
  int64_t before = estimate_memory(large_model(), large_work(), one, means)[0].device_bytes();
  const auto less = [&](const std::string& what) {
    const RankMemory now = estimate_memory(large_model(), large_work(), one, means)[0];
    EXPECT_LT(now.device_bytes(), before) << what;
    before = now.device_bytes();
  };
  means.fp8 = true;
  less("weights in 8 bits");
  means.cache.fp8 = true;
  less("caches in 8 bits");
  means.cache.on_host = true;
  means.cache.device_layers = 10;
  less("caches of thirty layers on the host");
  means.cache.device_layers = 0;
  less("all caches on the host");
  means.cache.condition_on_host = true;
  less("the condition on the host");
  means.decoder_state_on_host = true;
  less("the decoder's state on the host");
  EXPECT_LT(before, 21 * kGib);
}

TEST(MemoryModel, WhatLeavesTheDeviceIsOnTheHost) {
  const RankLayout one = layout(1, Split::kTimestep);
  WorkSizes work = large_work();
  work.exact_checkpoints = false;
  MemoryMeans means;
  EXPECT_EQ(estimate_memory(large_model(), work, one, means)[0].host_bytes(), 0);
  means.cache.on_host = true;
  means.decoder_state_on_host = true;
  const RankMemory there = estimate_memory(large_model(), work, one, means)[0];
  EXPECT_EQ(part(there.host, "attention caches"), int64_t{4} * 40 * 12672 * 5120 * 2 * 2);
  EXPECT_EQ(part(there.host, "decoder's state"), 2 * large_model().decoder_state);
}

TEST(MemoryModel, BatchDecodingTakesMore) {
  WorkSizes work = large_work();
  const int64_t online = decoding_bytes(large_model(), work);
  work.batch_decode = true;
  const int64_t batch = decoding_bytes(large_model(), work);
  // Measured on an H200.
  EXPECT_NEAR(static_cast<double>(online), 416591872.0, 0.01 * 416591872.0);
  EXPECT_NEAR(static_cast<double>(batch), 1291682816.0, 0.01 * 1291682816.0);
}

TEST(MemoryModel, TableNamesPartsAndRanks) {
  const std::string table =
      memory_table(estimate_memory(large_model(), large_work(), layout(2, Split::kTimestep), {}));
  EXPECT_THAT(table, HasSubstr("GiB on the device, rank           0        1\n"));
  EXPECT_THAT(table, HasSubstr("  layers                      29.70    29.70\n"));
  EXPECT_THAT(table, HasSubstr("decoder's state              0.00     1.19\n"));
  EXPECT_EQ(largest_parts({0, {{"small", 1}, {"large", 2 * kGib}, {"middle", kGib}}, {}, {}}, 2),
            "large 2.0 GiB, middle 1.0 GiB");
  EXPECT_EQ(gib_text(kGib), "1.0 GiB");
  EXPECT_EQ(gib_text(kGib + 1), "1.1 GiB");
}

}  // namespace
}  // namespace latentcast
