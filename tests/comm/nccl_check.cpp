#include <cstdlib>
#include <iostream>

#include "group_under_test.h"
#include "mpi_main.h"
#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <gmock/gmock.h>

#include "latentcast/device/device.h"
#include "latentcast/error.h"

namespace latentcast::test {
namespace {

/// Loads CUDA's half of LibTorch at the first call.
at::Device own_gpu() {
  static const at::Device gpu = [] {
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
    const auto choose = [](int visible) { return device_of_rank(mpi_session().world(), visible); };
    return select_device("cuda", "bf16", 1, choose).device;
  }();
  return gpu;
}

size_t free_bytes() { return c10::getDeviceAllocator(at::kCUDA)->getMemoryInfo(own_gpu().index()).first; }

}  // namespace

at::Device group_device() { return own_gpu(); }

std::unique_ptr<Communicator> make_group(std::chrono::seconds deadline) {
  const int device = own_gpu().index();
  at::ones({1}, own_gpu()).sum().item<float>();  // what LibTorch itself takes at its first use
  const size_t before = free_bytes();
  const auto start = std::chrono::steady_clock::now();
  auto group = make_nccl_communicator(mpi_session(), device, deadline);
  if (mpi_session().world().rank == 0) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    std::cout << "NCCL's start: " << spent.count() << " s, "
              << static_cast<double>(before - free_bytes()) / (1 << 20) << " MiB of the GPU" << std::endl;
  }
  return group;
}

std::unique_ptr<Communicator> make_cpu_group() {
  return mpi_session().cpu_communicator(std::chrono::seconds(60));
}

namespace {

class NcclTest : public testing::Test {
 protected:
  void SetUp() override {
    if (mpi_session().world().size == 1) {
      GTEST_SKIP() << "one rank has no peer";
    }
  }
};

TEST_F(NcclTest, ComputingIsOrderedWithTransfers) {
  const auto group = make_group(std::chrono::seconds(60));
  const int size = group->size(), next = (group->rank() + 1) % size,
            previous = (group->rank() + size - 1) % size;
  // Each round sends what the last one computed from what came, with no word from the host in between.
  at::Tensor value = at::full({1 << 20}, static_cast<float>(group->rank()), own_gpu());
  constexpr int kRounds = 50;
  for (int i = 0; i < kRounds; ++i) {
    const at::Tensor got = at::empty_like(value);
    auto received = group->launch_receive(got, previous);
    auto sent = group->launch_send(value, next);
    received->finish();
    sent->finish();
    value = got + 1;
  }
  const int origin = ((group->rank() - kRounds) % size + size) % size;
  EXPECT_TRUE(at::equal(value, at::full_like(value, static_cast<float>(origin + kRounds))));
  group->barrier();
}

TEST_F(NcclTest, SharesOnOneHostAreReadByCopyEngines) {
  const auto group = make_group(std::chrono::seconds(60));
  const at::Tensor share = at::full({1 << 20}, group->rank(), at::TensorOptions(own_gpu()).dtype(at::kByte));
  const auto shares = group->publish(share, GatherWay::kAuto);
  EXPECT_EQ(shares->way(), "copy engines") << shares->refusal();
  EXPECT_FALSE(shares->is_collective());
  EXPECT_EQ(group->publish(share, GatherWay::kCollective)->way(), "nccl");
}

TEST_F(NcclTest, SharesAreFreedWhenAllHaveClosedThem) {
  const auto group = make_group(std::chrono::seconds(60));
  constexpr int64_t kBytes = int64_t{1} << 30;
  c10::getDeviceAllocator(at::kCUDA)->emptyCache();
  const size_t before = free_bytes();
  for (int round = 0; round < 3; ++round) {
    {
      const at::Tensor share = at::full({kBytes}, round, at::TensorOptions(own_gpu()).dtype(at::kByte));
      const auto shares = group->publish(share, GatherWay::kAuto);
      const at::Tensor all = at::empty({kBytes * group->size()}, share.options());
      shares->launch_gather(0, kBytes, all)->finish();
      EXPECT_TRUE(all.eq(round).all().item<bool>()) << round;
    }
    c10::getDeviceAllocator(at::kCUDA)->emptyCache();
    EXPECT_NEAR(static_cast<double>(free_bytes()), static_cast<double>(before), 256 << 20) << round;
  }
  group->barrier();
}

TEST_F(NcclTest, AFailingRankDoesNotWaitForOthersToCloseItsShare) {
  const auto group = make_group(std::chrono::seconds(60));
  const at::Tensor share = at::zeros({1 << 20}, at::TensorOptions(own_gpu()).dtype(at::kByte));
  const auto start = std::chrono::steady_clock::now();
  try {
    const auto shares = group->publish(share, GatherWay::kAuto);
    throw InternalError("this rank has had enough");
  } catch (const InternalError&) {
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(9));
  }
}

TEST_F(NcclTest, SilenceOfAPeerEndsTheBarrierAndIsNamed) {
  {
    const auto group = make_group(std::chrono::seconds(3));
    std::unique_ptr<Transfer> never;
    const at::Tensor tensor = at::zeros({16}, own_gpu());
    if (group->rank() == 0) {
      never = group->launch_receive(tensor, 1);
      never->finish();
    }
    try {
      group->barrier();
      ADD_FAILURE() << "the barrier ended";
    } catch (const InternalError& error) {
      if (group->rank() == 0) {
        EXPECT_THAT(error.what(), testing::HasSubstr("in a receive of 64 bytes from rank 1 ("));
      }
    }
  }
  // The GPU is as good as before.
  EXPECT_EQ(at::ones({1000}, own_gpu()).sum().item<float>(), 1000);
  mpi_session().gather_strings("");
  const auto fresh = make_group(std::chrono::seconds(60));
  fresh->barrier();
}

}  // namespace
}  // namespace latentcast::test
