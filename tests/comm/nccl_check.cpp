#include <cstdlib>
#include <iostream>
#include <thread>

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

/// LATENTCAST_CHECK_NCCL=1 in the environment: what goes between two ranks goes by NCCL, as between hosts.
SendWay send_way() {
  return std::getenv("LATENTCAST_CHECK_NCCL") == nullptr ? SendWay::kAuto : SendWay::kNccl;
}

size_t free_bytes() { return c10::getDeviceAllocator(at::kCUDA)->getMemoryInfo(own_gpu().index()).first; }

}  // namespace

at::Device group_device() { return own_gpu(); }

std::unique_ptr<Communicator> make_group(std::chrono::seconds deadline) {
  const int device = own_gpu().index();
  at::ones({1}, own_gpu()).sum().item<float>();  // what LibTorch itself takes at its first use
  const size_t before = free_bytes();
  const auto start = std::chrono::steady_clock::now();
  auto group = make_nccl_communicator(mpi_session(), device, deadline, send_way());
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

/// The message of the InternalError that `work` throws; empty if it throws none.
template <typename Work>
std::string error_of(const Work& work) {
  try {
    work();
  } catch (const InternalError& error) {
    return error.what();
  }
  return {};
}

TEST_F(NcclTest, SilenceOfAPeerIsAnErrorThatNamesIt) {
  {
    const auto group = make_group(std::chrono::seconds(3));
    const at::Tensor tensor = at::zeros({16}, own_gpu());
    std::unique_ptr<Transfer> never;
    std::string error;
    if (group->rank() == 0) {
      // In slots the host waits for the peer's; NCCL's receive shows in the barrier.
      error = error_of([&] {
        never = group->launch_receive(tensor, 1);
        never->finish();
      });
      EXPECT_EQ(error.empty(), send_way() == SendWay::kNccl) << error;
    }
    if (error.empty()) {
      error = error_of([&] { group->barrier(); });
    }
    EXPECT_THAT(
        error, testing::HasSubstr(group->rank() == 0 ? "in a receive of 64 bytes from rank 1 (" : "waited "));
  }
  // The GPU is as good as before.
  EXPECT_EQ(at::ones({1000}, own_gpu()).sum().item<float>(), 1000);
  mpi_session().gather_strings("");
  const auto fresh = make_group(std::chrono::seconds(60));
  fresh->barrier();
}

/// What goes through slots of the sender's GPU.
class SlotTest : public NcclTest {
 protected:
  void SetUp() override {
    NcclTest::SetUp();
    if (send_way() == SendWay::kNccl) {
      GTEST_SKIP() << "NCCL moves it";
    }
  }

  /// Some milliseconds of work for the GPU.
  static void keep_busy(int rounds) {
    at::Tensor a = at::full({4096, 4096}, 1e-4, own_gpu());
    for (int i = 0; i < rounds; ++i) {
      a = at::mm(a, a);
    }
  }
  static at::Tensor numbers(int64_t count, int rank, int message) {
    return at::arange(count, at::TensorOptions(own_gpu()).dtype(at::kInt))
        .mul_(7)
        .add_(1000 * rank + message);
  }
};

TEST_F(SlotTest, GpusOfOneHostUseThem) {
  const auto group = make_group(std::chrono::seconds(60));
  EXPECT_EQ(group->carrier().way, "copy engines") << group->carrier().refusal;
  EXPECT_EQ(group->carrier().refusal, "");
  group->barrier();
  EXPECT_FALSE(group->carrier().nccl) << "neither slots nor a barrier need it";
  const at::Tensor one = at::full({3}, group->rank() + 1.0f, own_gpu());
  group->broadcast(one, 0);
  EXPECT_TRUE(group->carrier().nccl) << "a broadcast does";
  EXPECT_EQ(one.sum().item<float>(), 3.0f);
  group->barrier();
  const auto split = group->split(0);
  EXPECT_EQ(split->carrier().way, "copy engines") << split->carrier().refusal;
  const auto by_nccl =
      make_nccl_communicator(mpi_session(), own_gpu().index(), std::chrono::seconds(60), SendWay::kNccl);
  EXPECT_EQ(by_nccl->carrier().way, "nccl");
  EXPECT_TRUE(by_nccl->carrier().nccl);
  EXPECT_EQ(by_nccl->carrier().refusal, "");
}

/// Sizes up and down, so that slots outgrow their memory while others have it open; both ways at once, more
/// than there are slots, one GPU later than the other.
TEST_F(SlotTest, ManyOfAllSizesBothWays) {
  const auto group = make_group(std::chrono::seconds(60));
  const int peer = group->rank() ^ 1;
  if (peer < group->size()) {
    for (int round = 0; round < 6; ++round) {
      std::vector<Message> sends, receives;
      for (int i = 0; i < 23; ++i) {
        const int64_t count =
            (i * 7 + round * 3) % 5 == 0 ? (int64_t{1} << 18) * (1 + round * 5 + i) : 1 + i * 37;
        sends.push_back({numbers(count, group->rank(), i), peer});
        receives.push_back({at::empty({count}, at::TensorOptions(own_gpu()).dtype(at::kInt)), peer});
      }
      if (round % 2 == group->rank() % 2) keep_busy(20);
      Exchange exchange = group->launch_exchange(sends, receives);
      for (size_t i = 0; i < sends.size(); ++i) {
        exchange.sends[i]->finish();
        sends[i].tensor.zero_();
      }
      if (round % 2 != group->rank() % 2) keep_busy(20);
      for (size_t i = receives.size(); i-- > 0;) {
        exchange.receives[i]->finish();
        const at::Tensor& got = receives[i].tensor;
        EXPECT_TRUE(at::equal(got, numbers(got.numel(), peer, static_cast<int>(i)))) << round << ", " << i;
      }
    }
  }
  group->barrier();
}

/// The hosts are far ahead of their GPUs, and nobody looks at what has come until the end.
TEST_F(SlotTest, HostsRunAheadOfTheirGpus) {
  const auto group = make_group(std::chrono::seconds(60));
  const int peer = group->rank() ^ 1;
  if (peer < group->size()) {
    at::Tensor sum = at::zeros({1 << 16}, own_gpu());
    for (int i = 0; i < 200; ++i) {
      const at::Tensor got = at::empty_like(sum);
      Exchange exchange =
          group->launch_exchange({{at::full_like(sum, static_cast<float>(i)), peer}}, {{got, peer}});
      if (i % 10 == group->rank()) keep_busy(2);
      exchange.receives[0]->finish();
      exchange.sends[0]->finish();
      sum += got;
    }
    EXPECT_TRUE(at::equal(sum, at::full_like(sum, 199.F * 200 / 2)));
  }
  group->barrier();
}

TEST_F(SlotTest, ASendWaitsForAFreeSlotAndNamesThePeer) {
  {
    const auto group = make_group(std::chrono::seconds(3));
    const at::Tensor tensor = at::zeros({16}, own_gpu());
    if (group->rank() == 0) {
      for (int i = 0; i < 4; ++i) {
        group->launch_send(tensor, 1)->finish();
      }
      EXPECT_THAT(error_of([&] { group->launch_send(tensor, 1)->finish(); }),
                  testing::HasSubstr("in a send of 64 bytes to rank 1 ("));
    }
    mpi_session().gather_strings("");
  }
  EXPECT_EQ(at::ones({1000}, own_gpu()).sum().item<float>(), 1000);
  const auto fresh = make_group(std::chrono::seconds(60));
  fresh->barrier();
}

/// A rank that waits in a barrier goes on fetching: a sender may need the slots.
TEST_F(SlotTest, ABarrierFetchesMeanwhile) {
  const auto group = make_group(std::chrono::seconds(60));
  constexpr int kMessages = 11;
  std::vector<std::unique_ptr<Transfer>> coming;
  std::vector<at::Tensor> got;
  if (group->rank() == 1) {
    for (int i = 0; i < kMessages; ++i) {
      got.push_back(at::empty({100}, at::TensorOptions(own_gpu()).dtype(at::kInt)));
      coming.push_back(group->launch_receive(got.back(), 0));
    }
  } else if (group->rank() == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    for (int i = 0; i < kMessages; ++i) {
      group->launch_send(numbers(100, 0, i), 1)->finish();
    }
  }
  group->barrier();
  for (size_t i = 0; i < coming.size(); ++i) {
    coming[i]->finish();
    EXPECT_TRUE(at::equal(got[i], numbers(100, 0, static_cast<int>(i)))) << i;
  }
  group->barrier();
}

/// What a group took is given back when it goes, on all ranks: the second one leaves as much as the first.
TEST_F(SlotTest, AreFreedWhenAllHaveClosedThem) {
  std::vector<size_t> left;
  for (int round = 0; round < 3; ++round) {
    {
      const auto group = make_group(std::chrono::seconds(60));
      const int peer = group->rank() ^ 1;
      if (peer < group->size()) {
        const at::Tensor large = at::full({256 << 20}, round, at::TensorOptions(own_gpu()).dtype(at::kByte));
        const at::Tensor got = at::empty_like(large);
        for (int i = 0; i < 6; ++i) {
          group->launch_exchange({{large, peer}}, {{got, peer}}).receives[0]->finish();
        }
        EXPECT_TRUE(got.eq(round).all().item<bool>());
      }
      group->barrier();
    }
    c10::getDeviceAllocator(at::kCUDA)->emptyCache();
    left.push_back(free_bytes());
    EXPECT_NEAR(static_cast<double>(left.back()), static_cast<double>(left.front()), 128 << 20) << round;
  }
}

}  // namespace
}  // namespace latentcast::test
