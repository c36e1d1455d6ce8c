// What sharded_layers_test.cpp checks on threads, on ranks of MPI.
#include "layers_checkpoint.h"
#include "shard_checks.h"
#include "shared_folder.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

class ShardedLayersOverMpi : public ::testing::Test {
 protected:
  ShardedLayersOverMpi() {
    if (folder_.is_writer()) test::write_layers(folder_.path(), test::small_layers());
    test::SharedFolder::ready();
  }

  test::SharedFolder folder_;
  std::unique_ptr<Communicator> world_ = test::all_ranks();
};

TEST_F(ShardedLayersOverMpi, HaveTheBitsOfWholeOnes) {
  test::check_equal_bits(*world_, folder_.path(), GatherWay::kAuto);
}
TEST_F(ShardedLayersOverMpi, HaveTheBitsOfWholeOnesInFp8) {
  test::check_equal_bits_in_fp8(*world_, folder_.path(), GatherWay::kAuto);
}
TEST_F(ShardedLayersOverMpi, NeedNotBeComputedWith) {
  test::check_passes_without_compute(*world_, folder_.path(), GatherWay::kAuto);
}
TEST_F(ShardedLayersOverMpi, TakeTwoBuffersInTurn) {
  test::check_two_buffers(*world_, folder_.path(), GatherWay::kAuto);
}
TEST_F(ShardedLayersOverMpi, ComeInTheirOrderOnly) {
  test::check_order(*world_, folder_.path(), GatherWay::kAuto);
}
TEST_F(ShardedLayersOverMpi, AreHeldOnce) { test::check_shares(*world_, folder_.path(), GatherWay::kAuto); }

}  // namespace
}  // namespace latentcast
