#include "latentcast/shard/sharded_layers.h"

#include <stdexcept>
#include <tuple>

#include "layers_checkpoint.h"
#include "program.h"
#include "shard_checks.h"
#include "thread_communicator.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

/// The number of ranks, here threads, and how they gather: threads can read one another's shares.
class ShardedLayersOf : public ::testing::TestWithParam<std::tuple<int, GatherWay>> {
 protected:
  ShardedLayersOf() { test::write_layers(folder(), test::small_layers()); }
  std::string folder() const { return folder_.path().string(); }
  void run(void (*check)(Communicator&, const std::string&, GatherWay)) const {
    const auto [ranks, way] = GetParam();
    test::run_ranks(ranks,
                    [&, way = way](std::unique_ptr<Communicator> world) { check(*world, folder(), way); });
  }

 private:
  test::TemporaryFolder folder_;
};

TEST_P(ShardedLayersOf, HaveTheBitsOfWholeOnes) { run(test::check_equal_bits); }
TEST_P(ShardedLayersOf, HaveTheBitsOfWholeOnesInFp8) { run(test::check_equal_bits_in_fp8); }
TEST_P(ShardedLayersOf, NeedNotBeComputedWith) { run(test::check_passes_without_compute); }
TEST_P(ShardedLayersOf, TakeTwoBuffersInTurn) { run(test::check_two_buffers); }
TEST_P(ShardedLayersOf, ComeInTheirOrderOnly) { run(test::check_order); }
TEST_P(ShardedLayersOf, AreHeldOnce) { run(test::check_shares); }

INSTANTIATE_TEST_SUITE_P(Ranks, ShardedLayersOf,
                         ::testing::Combine(::testing::Values(1, 2, 3, 4),
                                            ::testing::Values(GatherWay::kAuto, GatherWay::kCollective)));

class Layers : public ::testing::Test {
 protected:
  std::string folder() const { return folder_.path().string(); }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(Layers, NeedNoOtherRanks) {
  test::write_layers(folder(), test::small_layers());
  const std::unique_ptr<Communicator> alone = make_single_communicator();
  test::check_equal_bits(*alone, folder(), GatherWay::kAuto);
  test::check_passes_without_compute(*alone, folder(), GatherWay::kAuto);
  test::check_two_buffers(*alone, folder(), GatherWay::kAuto);
}

TEST_F(Layers, OfAFileInHalfPrecisionHaveEqualBitsToo) {
  test::write_layers(folder(), test::small_layers(), at::kBFloat16);
  test::run_ranks(3, [&](std::unique_ptr<Communicator> world) {
    test::check_equal_bits(*world, folder(), GatherWay::kAuto);
  });
}

TEST_F(Layers, OnMoreRanksThanALayerHasUnits) {
  DitConfig config;
  config.dim = config.ffn_dim = 2;
  config.heads = 1;
  config.layers = 1;
  test::write_layers(folder(), config);
  CheckpointSource source = test::open_layers(folder(), at::kFloat, false);
  ResidentLayers whole(source, config);
  test::run_ranks(40, [&](std::unique_ptr<Communicator> world) {
    CheckpointSource own = test::open_layers(folder(), at::kFloat, false);
    ShardedLayers sharded(own, config, std::move(world));
    for (int pass = 0; pass < 3; ++pass) {
      EXPECT_EQ(test::difference(sharded.acquire(0), whole.acquire(0)), "");
    }
  });
}

TEST_F(Layers, DontWaitForOthersWhenARankFails) {
  test::write_layers(folder(), test::small_layers());
  const auto body = [&](std::unique_ptr<Communicator> world) {
    CheckpointSource source = test::open_layers(folder(), at::kFloat, false);
    const int rank = world->rank();
    ShardedLayers sharded(source, test::small_layers(), std::move(world));
    sharded.acquire(0);
    if (rank == 1) throw std::runtime_error("rank 1 has had enough");
    sharded.acquire(1);
    sharded.acquire(2);
  };
  EXPECT_THROW(test::run_ranks(2, body), std::runtime_error);
}

TEST_F(Layers, OfARangeAreThoseOfTheWhole) {
  const DitConfig config = test::small_layers();
  test::write_layers(folder(), config);
  CheckpointSource source = test::open_layers(folder(), at::kBFloat16, true);
  ResidentLayers whole(source, config);
  source.finish({});
  CheckpointSource own = test::open_layers(folder(), at::kBFloat16, true);
  RangeOfLayers range(own, config, 1, 4);
  for (int64_t layer = 1; layer < 4; ++layer) {
    EXPECT_EQ(test::difference(range.acquire(layer), whole.acquire(layer)), "") << layer;
  }
  EXPECT_THROW(range.acquire(0), InternalError);
  EXPECT_THROW(range.acquire(4), InternalError);
  EXPECT_THROW(RangeOfLayers(own, config, 0, config.layers + 1), InternalError);
}

}  // namespace
}  // namespace latentcast
