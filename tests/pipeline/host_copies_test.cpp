// Copies for a checkpoint where the host's memory is too short for all of them at once.

#include "pipeline/host_copies.h"

#include <deque>
#include <random>
#include <thread>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace latentcast::test {
namespace {

constexpr int64_t kBlock = 1 << 16;

at::Tensor numbered(int64_t bytes, uint8_t number) {
  return at::full({bytes}, number, at::TensorOptions().dtype(at::kByte));
}

TEST(HostCopies, StayAsTheyAreAndComeOutOfOneBlock) {
  HostCopies copies{ComputeDevice()};
  copies.prepare(kBlock, 2 * kBlock);
  EXPECT_EQ(copies.block_bytes(), kBlock);
  const at::Tensor original = at::randn({10, 20}).transpose(0, 1), before = original.clone();
  const at::Tensor copy = copies.copy(original);
  const at::Tensor next = copies.copy(original.to(at::kBFloat16));
  copies.wait();
  original.zero_();
  EXPECT_TRUE(at::equal(copy, before));
  EXPECT_TRUE(copy.is_contiguous());
  EXPECT_TRUE(at::equal(next, before.to(at::kBFloat16)));
  const auto distance = static_cast<const char*>(next.data_ptr()) - static_cast<const char*>(copy.data_ptr());
  EXPECT_TRUE(distance > 0 && distance < kBlock) << "one block";
}

TEST(HostCopies, TakeNoMoreThanTheyMay) {
  HostCopies copies{ComputeDevice()};
  copies.prepare(10 * kBlock, kBlock);
  EXPECT_EQ(copies.block_bytes(), kBlock);
  EXPECT_NE(copies.shortage().find("computing waits for the disk"), std::string::npos);
  HostCopies enough{ComputeDevice()};
  EXPECT_EQ(enough.shortage(), "");
  enough.prepare(kBlock, kBlock);
  EXPECT_EQ(enough.shortage(), "");
}

TEST(HostCopies, WithoutABlockAndTooLargeForItHaveMemoryOfTheirOwn) {
  HostCopies copies{ComputeDevice()};
  std::vector<at::Tensor> all;
  for (uint8_t i = 0; i < 4; ++i) all.push_back(copies.copy(numbered(kBlock, i)));
  copies.prepare(kBlock, kBlock);
  for (uint8_t i = 4; i < 8; ++i) all.push_back(copies.copy(numbered(kBlock + 1, i)));
  for (uint8_t i = 0; i < 8; ++i) EXPECT_TRUE(all[i].eq(i).all().item<bool>());
}

TEST(HostCopies, ARefusedOneHasRoomOnceTheOldestAreGone) {
  HostCopies copies{ComputeDevice()};
  copies.prepare(kBlock, kBlock);
  at::Tensor first = copies.copy(numbered(kBlock / 2, 1)), second = copies.copy(numbered(kBlock / 2, 2));
  EXPECT_FALSE(copies.copy(numbered(kBlock / 4, 3)).defined());
  second.reset();
  copies.wait_for_room();
  EXPECT_FALSE(copies.copy(numbered(kBlock / 4, 3)).defined()) << "room comes back in order";
  std::thread writer([&] { first.reset(); });
  copies.wait_for_room();
  writer.join();
  const at::Tensor whole = copies.copy(numbered(kBlock, 4));
  ASSERT_TRUE(whole.defined());
  EXPECT_TRUE(whole.eq(4).all().item<bool>());
}

// Sizes at random, round and round, while another thread lets go: nothing is overwritten before.
TEST(HostCopies, OfARingAreNeverOverwrittenEarly) {
  HostCopies copies{ComputeDevice()};
  copies.prepare(kBlock, kBlock);
  std::mt19937 random(7);
  std::deque<std::pair<uint8_t, at::Tensor>> waiting;
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    const auto number = static_cast<uint8_t>(i);
    const auto bytes = static_cast<int64_t>(1 + random() % (kBlock / 3));
    at::Tensor copy = copies.copy(numbered(bytes, number));
    for (; !copy.defined(); copy = copies.copy(numbered(bytes, number))) {
      ++refused;
      ASSERT_FALSE(waiting.empty());
      ASSERT_TRUE(waiting.front().second.eq(waiting.front().first).all().item<bool>()) << i;
      waiting.pop_front();
      copies.wait_for_room();
    }
    waiting.emplace_back(number, copy);
  }
  EXPECT_GT(refused, 100);
}

// A copy that is let go after the block's owner is no trouble.
TEST(HostCopies, OutliveTheirOwner) {
  at::Tensor copy;
  {
    HostCopies copies{ComputeDevice()};
    copies.prepare(kBlock, kBlock);
    copy = copies.copy(numbered(100, 9));
  }
  EXPECT_TRUE(copy.eq(9).all().item<bool>());
}

TEST(AvailableHostBytes, AreSomeAndNoMoreThanTheHostHas) {
  EXPECT_GT(available_host_bytes(), 0);
  EXPECT_LT(available_host_bytes(), int64_t{1} << 50);
}

}  // namespace
}  // namespace latentcast::test
