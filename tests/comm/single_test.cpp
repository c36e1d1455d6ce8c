#include <cstdlib>

#include "group_under_test.h"
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <mpi.h>

#include "latentcast/error.h"

namespace latentcast::test {

std::unique_ptr<Communicator> make_group(std::chrono::seconds) { return make_single_communicator(); }
at::Device group_device() { return at::kCPU; }
std::unique_ptr<Communicator> make_cpu_group() { return make_single_communicator(); }

namespace {

TEST(MpiSession, WithoutLauncherIsAloneAndLeavesMpiDown) {
  const MpiSession session(nullptr, nullptr);
  EXPECT_EQ(session.world().size, 1);
  EXPECT_EQ(session.world().rank, 0);
  EXPECT_EQ(session.world().local_size, 1);
  EXPECT_FALSE(session.world().host.empty());
  EXPECT_EQ(session.cpu_communicator(std::chrono::seconds(1))->size(), 1);
  EXPECT_EQ(session.gather_strings("own"), std::vector<std::string>{"own"});
  int up = 1;
  MPI_Initialized(&up);
  EXPECT_EQ(up, 0);
}

TEST(MpiSession, TellsThatSrunNeedsPmix) {
  setenv("SLURM_STEP_NUM_TASKS", "4", 1);
  EXPECT_THROW(MpiSession(nullptr, nullptr), InputError);
  setenv("SLURM_STEP_NUM_TASKS", "1", 1);
  EXPECT_NO_THROW(MpiSession(nullptr, nullptr));
  unsetenv("SLURM_STEP_NUM_TASKS");
}

TEST(MpiSession, NcclOfOneRankNeedsNoLibrary) {
  const MpiSession session(nullptr, nullptr);
  EXPECT_EQ(make_nccl_communicator(session, 0, std::chrono::seconds(1))->size(), 1);
}

World world_of(int local_rank, int local_size) {
  World world;
  world.rank = local_rank + 4;
  world.size = local_size + 4;
  world.local_rank = local_rank;
  world.local_size = local_size;
  world.host = "node7";
  return world;
}

TEST(DeviceOfRank, LocalRankAmongVisibleGpus) {
  EXPECT_EQ(device_of_rank(world_of(0, 4), 4), 0);
  EXPECT_EQ(device_of_rank(world_of(3, 4), 4), 3);
  EXPECT_EQ(device_of_rank(world_of(1, 2), 8), 1);
}

TEST(DeviceOfRank, TheOnlyVisibleGpu) { EXPECT_EQ(device_of_rank(world_of(3, 4), 1), 0); }

TEST(DeviceOfRank, FewerGpusThanRanks) {
  EXPECT_THROW(device_of_rank(world_of(0, 1), 0), InputError);
  try {
    device_of_rank(world_of(0, 3), 2);
    ADD_FAILURE() << "no error";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("rank 4 sees 2 GPUs, but 3 ranks run on node7"));
  }
}

}  // namespace
}  // namespace latentcast::test
