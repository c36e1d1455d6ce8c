// What holds for every communicator. Each rank's data follows from its number, so all know what must arrive.
#include <algorithm>
#include <chrono>
#include <thread>

#include "group_under_test.h"
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"

namespace latentcast::test {
namespace {

using Transfers = std::vector<std::unique_ptr<Transfer>>;

/// Whole numbers below 251, which every type tested holds exactly.
at::Tensor values(int64_t count, int rank, int64_t message, at::ScalarType type) {
  const at::Tensor numbers =
      at::arange(count, at::kLong).mul_(7).add_(rank * 31 + message * 13).remainder_(251);
  return numbers.to(type).to(group_device());
}

at::Tensor room(int64_t count, at::ScalarType type) {
  return at::full({count}, 111, at::TensorOptions(group_device()).dtype(type));
}

class CommunicatorTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { group_ = make_group(std::chrono::seconds(60)).release(); }
  static void TearDownTestSuite() {
    if (group_ != nullptr) {
      group_->barrier();
    }
    delete group_;
    group_ = nullptr;
  }

  Communicator& group() { return *group_; }
  int rank() const { return group_->rank(); }
  int size() const { return group_->size(); }
  int next() const { return (rank() + 1) % size(); }
  int previous() const { return (rank() + size() - 1) % size(); }

  /// What an all-gather of the ranks' values() gives.
  at::Tensor gathered(int64_t count, int64_t message, at::ScalarType type) const {
    std::vector<at::Tensor> parts;
    for (int i = 0; i < size(); ++i) {
      parts.push_back(values(count, i, message, type));
    }
    return at::cat(parts);
  }

  /// Sends `count` values to the next rank and checks what comes from the one before.
  void pass_round(int64_t count, at::ScalarType type) {
    const at::Tensor own = values(count, rank(), 0, type), got = room(count, type);
    auto sent = group().launch_send(own, next());
    auto received = group().launch_receive(got, previous());
    received->finish();
    sent->finish();
    EXPECT_TRUE(at::equal(got, values(count, previous(), 0, type))) << count << " values of " << type;
  }

 private:
  static Communicator* group_;
};

Communicator* CommunicatorTest::group_ = nullptr;

class PairTest : public CommunicatorTest {
 protected:
  void SetUp() override {
    if (size() == 1) {
      GTEST_SKIP() << "one rank has no peer";
    }
  }
};

TEST_F(PairTest, Ring) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kByte, at::kLong}) {
    pass_round(1, type);
    pass_round(1003, type);
  }
}

TEST_F(PairTest, RingOfLargeMessages) {
  pass_round((1 << 20) + 1, at::kBFloat16);
  pass_round(16 << 20, at::kFloat);
}

TEST_F(PairTest, EmptyMessage) { pass_round(0, at::kFloat); }

TEST_F(PairTest, BlockingSendAndReceive) {
  const at::Tensor got = room(17, at::kInt);
  if (rank() % 2 == 0 && rank() + 1 < size()) {
    group().send(values(17, rank(), 5, at::kInt), rank() + 1);
  } else if (rank() % 2 == 1) {
    group().receive(got, rank() - 1);
    EXPECT_TRUE(at::equal(got, values(17, rank() - 1, 5, at::kInt)));
  }
}

TEST_F(PairTest, ExchangeWithEveryRank) {
  Transfers transfers;
  std::vector<at::Tensor> got(static_cast<size_t>(size()));
  for (int peer = 0; peer < size(); ++peer) {
    if (peer != rank()) {
      got[static_cast<size_t>(peer)] = room(501, at::kFloat);
      transfers.push_back(group().launch_send(values(501, rank(), peer, at::kFloat), peer));
      transfers.push_back(group().launch_receive(got[static_cast<size_t>(peer)], peer));
    }
  }
  for (const auto& transfer : transfers) {
    transfer->finish();
  }
  for (int peer = 0; peer < size(); ++peer) {
    if (peer != rank()) {
      EXPECT_TRUE(at::equal(got[static_cast<size_t>(peer)], values(501, peer, rank(), at::kFloat)));
    }
  }
}

TEST_F(PairTest, LargeSendsToOneAnotherDoNotBlock) {
  const int64_t count = 4 << 20;
  const at::Tensor own = values(count, rank(), 1, at::kFloat), got = room(count, at::kFloat);
  auto sent = group().launch_send(own, next());
  // A receive that is launched late, and another message of the same pair behind the first.
  auto second = group().launch_send(values(3, rank(), 2, at::kFloat), next());
  const at::Tensor small = room(3, at::kFloat);
  auto received = group().launch_receive(got, previous());
  auto last = group().launch_receive(small, previous());
  last->finish();
  received->finish();
  second->finish();
  sent->finish();
  EXPECT_TRUE(at::equal(got, values(count, previous(), 1, at::kFloat)));
  EXPECT_TRUE(at::equal(small, values(3, previous(), 2, at::kFloat)));
}

TEST_F(PairTest, ManyUnderWayKeepTheirOrder) {
  constexpr int64_t kMessages = 60;
  Transfers transfers;
  std::vector<at::Tensor> got;
  for (int64_t i = 0; i < kMessages; ++i) {
    got.push_back(room(1 + i * 37, at::kLong));
    transfers.push_back(group().launch_receive(got.back(), previous()));
    transfers.push_back(group().launch_send(values(1 + i * 37, rank(), i, at::kLong), next()));
  }
  for (auto transfer = transfers.rbegin(); transfer != transfers.rend(); ++transfer) {
    (*transfer)->finish();
  }
  for (int64_t i = 0; i < kMessages; ++i) {
    EXPECT_TRUE(at::equal(got[static_cast<size_t>(i)], values(1 + i * 37, previous(), i, at::kLong))) << i;
  }
}

TEST_F(PairTest, TestTellsTheEnd) {
  const at::Tensor got = room(9, at::kFloat);
  auto received = group().launch_receive(got, previous());
  auto sent = group().launch_send(values(9, rank(), 3, at::kFloat), next());
  while (!received->test() || !sent->test()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(received->test());
  received->finish();
  sent->finish();
  EXPECT_TRUE(at::equal(got, values(9, previous(), 3, at::kFloat)));
}

TEST_F(PairTest, CountsSentBytes) {
  const int64_t before = group().bytes_sent();
  pass_round(1000, at::kBFloat16);
  EXPECT_EQ(group().bytes_sent() - before, 2000);
}

TEST_F(CommunicatorTest, AllGather) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kByte, at::kLong}) {
    for (const int64_t count : {1, 3, 1001, 300001}) {
      const at::Tensor all = room(count * size(), type);
      group().all_gather(values(count, rank(), 4, type), all);
      EXPECT_TRUE(at::equal(all, gathered(count, 4, type))) << count << " values of " << type;
    }
  }
}

TEST_F(CommunicatorTest, AllGatherInPlace) {
  const int64_t count = 777;
  const at::Tensor all = room(count * size(), at::kFloat);
  const at::Tensor part = all.narrow(0, rank() * count, count);
  part.copy_(values(count, rank(), 6, at::kFloat));
  group().all_gather(part, all);
  EXPECT_TRUE(at::equal(all, gathered(count, 6, at::kFloat)));
}

TEST_F(CommunicatorTest, AllGathersUnderWayKeepTheirOrder) {
  Transfers transfers;
  std::vector<at::Tensor> all;
  for (int64_t i = 0; i < 20; ++i) {
    all.push_back(room((i * 11 + 1) * size(), at::kFloat));
    transfers.push_back(group().launch_all_gather(values(i * 11 + 1, rank(), i, at::kFloat), all.back()));
  }
  for (auto transfer = transfers.rbegin(); transfer != transfers.rend(); ++transfer) {
    (*transfer)->finish();
  }
  for (int64_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(at::equal(all[static_cast<size_t>(i)], gathered(i * 11 + 1, i, at::kFloat))) << i;
  }
}

TEST_F(PairTest, GathersAndSendsAtOnce) {
  const int64_t count = 100003;
  const at::Tensor all = room(count * size(), at::kBFloat16), got = room(count, at::kBFloat16);
  auto gather = group().launch_all_gather(values(count, rank(), 8, at::kBFloat16), all);
  auto received = group().launch_receive(got, previous());
  auto sent = group().launch_send(values(count, rank(), 9, at::kBFloat16), next());
  received->finish();
  gather->finish();
  sent->finish();
  EXPECT_TRUE(at::equal(all, gathered(count, 8, at::kBFloat16)));
  EXPECT_TRUE(at::equal(got, values(count, previous(), 9, at::kBFloat16)));
}

TEST_F(CommunicatorTest, CountsGatheredBytes) {
  const int64_t before = group().bytes_gathered();
  group().all_gather(values(100, rank(), 0, at::kFloat), room(100 * size(), at::kFloat));
  EXPECT_EQ(group().bytes_gathered() - before, 400 * (size() - 1));
}

class SharesTest : public CommunicatorTest, public testing::WithParamInterface<GatherWay> {
 protected:
  /// Of the ranks' values(count, rank, message), what a gather of `n` from `begin` on gives.
  at::Tensor part_of_all(int64_t count, int64_t message, int64_t begin, int64_t n) const {
    return gathered(count, message, at::kByte).view({size(), count}).narrow(1, begin, n).reshape(-1);
  }
};

TEST_P(SharesTest, AreGatheredInAnyPieces) {
  constexpr int64_t kCount = 100003;
  const at::Tensor share = values(kCount, rank(), 1, at::kByte);
  const auto shares = group().publish(share, GetParam());
  EXPECT_THAT(shares->way(), testing::Not(testing::IsEmpty()));
  for (const auto& [begin, n] : {std::pair<int64_t, int64_t>{0, kCount}, {0, 1}, {256, 1024}, {99, 70001}}) {
    const at::Tensor all = room(n * size(), at::kByte);
    shares->launch_gather(begin, n, all)->finish();
    EXPECT_TRUE(at::equal(all, part_of_all(kCount, 1, begin, n))) << n << " from " << begin;
  }
  EXPECT_EQ(shares->bytes_gathered(), (kCount + 1 + 1024 + 70001) * (size() - 1));
}

TEST_P(SharesTest, BringWhatIsWantedOfTheOwnPart) {
  constexpr int64_t kCount = 5000, kHead = 300, kTail = 1200;
  const at::Tensor share = values(kCount, rank(), 5, at::kByte);
  const auto shares = group().publish(share, GetParam());
  for (const OwnPart own : {OwnPart{0, 0}, OwnPart{kHead, kTail}, OwnPart{0, kCount}}) {
    const at::Tensor all = room(kCount * size(), at::kByte);
    shares->launch_gather(0, kCount, all, own)->finish();
    const at::Tensor got = all.view({size(), kCount}), part = got[rank()];
    EXPECT_TRUE(at::equal(part.narrow(0, 0, own.head), share.narrow(0, 0, own.head)));
    const int64_t last = kCount - own.tail;
    EXPECT_TRUE(at::equal(part.narrow(0, last, own.tail), share.narrow(0, last, own.tail)));
    part.copy_(share);
    EXPECT_TRUE(at::equal(all, gathered(kCount, 5, at::kByte)));
  }
}

TEST_P(SharesTest, ThatLieWithinALargerTensorAreFound) {
  const at::Tensor large = room(1 << 20, at::kByte);
  const at::Tensor share = large.narrow(0, 4096, 5000);
  share.copy_(values(5000, rank(), 2, at::kByte));
  const auto shares = group().publish(share, GetParam());
  const at::Tensor all = room(5000 * size(), at::kByte);
  shares->launch_gather(0, 5000, all)->finish();
  EXPECT_TRUE(at::equal(all, gathered(5000, 2, at::kByte)));
}

TEST_P(SharesTest, AreGatheredInOrderWithComputing) {
  constexpr int64_t kParts = 40, kPart = 1 << 20;
  const at::Tensor share = values(kParts * kPart, rank(), 3, at::kByte);
  const auto shares = group().publish(share, GetParam());
  const at::Tensor expected = gathered(kParts * kPart, 3, at::kByte).view({size(), kParts, kPart});
  const at::Tensor buffers[] = {room(kPart * size(), at::kByte), room(kPart * size(), at::kByte)};
  // Each buffer is used until the gather of the part after next, as layers are; no word from the host.
  const at::Tensor differing = at::zeros({}, expected.options().dtype(at::kLong));
  std::unique_ptr<Transfer> under_way = shares->launch_gather(0, kPart, buffers[0]);
  for (int64_t i = 0; i < kParts; ++i) {
    under_way->finish();
    if (i + 1 < kParts) under_way = shares->launch_gather((i + 1) * kPart, kPart, buffers[(i + 1) % 2]);
    for (int round = 0; round < 3; ++round) {
      differing.add_(buffers[i % 2].view({size(), kPart}).ne(expected.select(1, i)).sum());
    }
  }
  EXPECT_EQ(differing.item<int64_t>(), 0);
}

TEST_P(SharesTest, NeedNotBeGatheredByAllUnlessCollective) {
  const at::Tensor share = values(1000, rank(), 4, at::kByte);
  const auto shares = group().publish(share, GetParam());
  if (rank() == 0 || shares->is_collective()) {
    const at::Tensor all = room(1000 * size(), at::kByte);
    shares->launch_gather(0, 1000, all)->finish();
    EXPECT_TRUE(at::equal(all, gathered(1000, 4, at::kByte)));
  }
}

TEST_P(SharesTest, OneAfterAnotherInTheSameMemory) {
  const at::Tensor share = room(3 << 20, at::kByte), all = room(size() * (3 << 20), at::kByte);
  for (int64_t round = 0; round < 3; ++round) {
    share.copy_(values(3 << 20, rank(), round, at::kByte));
    const auto shares = group().publish(share, GetParam());
    shares->launch_gather(0, 3 << 20, all)->finish();
    EXPECT_TRUE(at::equal(all, gathered(3 << 20, round, at::kByte))) << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, SharesTest, testing::Values(GatherWay::kAuto, GatherWay::kCollective),
                         [](const auto& way) {
                           return way.param == GatherWay::kAuto ? "Auto" : "Collective";
                         });

TEST_F(CommunicatorTest, BroadcastFromEveryRoot) {
  for (int root = 0; root < size(); ++root) {
    for (const int64_t count : {1, 65537}) {
      const at::Tensor tensor = rank() == root ? values(count, root, 2, at::kLong) : room(count, at::kLong);
      group().broadcast(tensor, root);
      EXPECT_TRUE(at::equal(tensor, values(count, root, 2, at::kLong))) << "root " << root;
    }
  }
}

TEST_F(CommunicatorTest, NobodyLeavesTheBarrierBeforeAllHaveCome) {
  const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  if (rank() == size() - 1) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const int64_t came = now();
  group().barrier();
  const int64_t left = now();
  // The ranks of one host share this clock.
  const at::Tensor all = room(size(), at::kLong);
  group().all_gather(at::full({1}, came, at::TensorOptions(group_device()).dtype(at::kLong)), all);
  EXPECT_GE(left, all.max().item<int64_t>());
}

TEST_F(CommunicatorTest, SplitInEvenAndOdd) {
  const auto half = group().split(rank() % 2);
  ASSERT_NE(half, nullptr);
  ASSERT_EQ(half->size(), (size() + 1 - rank() % 2) / 2);
  EXPECT_EQ(half->rank(), rank() / 2);
  const at::Tensor all = room(half->size() * 5, at::kFloat);
  half->all_gather(values(5, rank(), 0, at::kFloat), all);
  for (int i = 0; i < half->size(); ++i) {
    EXPECT_TRUE(at::equal(all.narrow(0, i * 5, 5), values(5, i * 2 + rank() % 2, 0, at::kFloat)));
  }
  half->barrier();
}

TEST_F(CommunicatorTest, SplitLeavesRanksOut) {
  const bool in = rank() < std::max(1, size() - 1);
  const auto part = group().split(in ? 3 : -1);
  ASSERT_EQ(part != nullptr, in);
  if (in) {
    EXPECT_EQ(part->size(), std::max(1, size() - 1));
    EXPECT_EQ(part->rank(), rank());
    part->barrier();
  }
}

TEST_F(PairTest, MessagesOfGroupsDoNotMix) {
  const auto same = group().split(0);
  const at::Tensor of_group = room(4, at::kInt), of_same = room(4, at::kInt);
  Transfers transfers;
  transfers.push_back(group().launch_send(values(4, rank(), 1, at::kInt), next()));
  transfers.push_back(same->launch_send(values(4, rank(), 2, at::kInt), next()));
  transfers.push_back(same->launch_receive(of_same, previous()));
  transfers.push_back(group().launch_receive(of_group, previous()));
  for (const auto& transfer : transfers) {
    transfer->finish();
  }
  EXPECT_TRUE(at::equal(of_group, values(4, previous(), 1, at::kInt)));
  EXPECT_TRUE(at::equal(of_same, values(4, previous(), 2, at::kInt)));
  same->barrier();
}

TEST_F(CommunicatorTest, RefusesWhatCannotWork) {
  const at::Tensor tensor = room(12, at::kFloat);
  EXPECT_THROW(group().send(tensor, rank()), InternalError);
  EXPECT_THROW(group().receive(tensor, size()), InternalError);
  EXPECT_THROW(group().send(tensor, -1), InternalError);
  EXPECT_THROW(group().broadcast(tensor, size()), InternalError);
  EXPECT_THROW(group().broadcast(tensor.view({3, 4}).t(), 0), InternalError);
  EXPECT_THROW(group().all_gather(tensor, room(12 * size() + 1, at::kFloat)), InternalError);
  EXPECT_THROW(group().all_gather(tensor, room(12 * size(), at::kInt)), InternalError);
}

}  // namespace
}  // namespace latentcast::test
