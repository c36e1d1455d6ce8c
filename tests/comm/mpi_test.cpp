#include "comm/mpi_communicator.h"
#include "group_under_test.h"
#include "mpi_main.h"
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "latentcast/error.h"

namespace latentcast::test {

std::unique_ptr<Communicator> make_group(std::chrono::seconds deadline) {
  return mpi_session().cpu_communicator(deadline);
}
at::Device group_device() { return at::kCPU; }
std::unique_ptr<Communicator> make_cpu_group() { return make_group(std::chrono::seconds(60)); }

namespace {

using testing::HasSubstr;

TEST(MpiSession, KnowsTheWorld) {
  const World& world = mpi_session().world();
  EXPECT_EQ(world.local_size, world.size);
  EXPECT_EQ(world.local_rank, world.rank);
  const std::vector<std::string> hosts = mpi_session().gather_strings(world.host);
  EXPECT_EQ(hosts, std::vector<std::string>(static_cast<size_t>(world.size), world.host));
}

/// Messages of more than 2^31 bytes go in pieces; here pieces are of 1000 bytes.
TEST(MpiPieces, ArriveWhole) {
  const auto group = make_mpi_communicator(MPI_COMM_WORLD, std::chrono::seconds(60), nullptr, 1000);
  const int rank = group->rank(), size = group->size();
  const auto values = [](int64_t count, int of) { return at::arange(count, at::kLong).add_(of * 1000000); };
  for (const int64_t count : {124, 125, 126, 1001}) {
    const at::Tensor all = at::zeros({count * size}, at::kLong);
    group->all_gather(values(count, rank), all);
    for (int i = 0; i < size; ++i) {
      EXPECT_TRUE(at::equal(all.narrow(0, i * count, count), values(count, i))) << count;
    }
    const at::Tensor shared = rank == size - 1 ? values(count, 9) : at::zeros({count}, at::kLong);
    group->broadcast(shared, size - 1);
    EXPECT_TRUE(at::equal(shared, values(count, 9)));
    if (size > 1) {
      const int next = (rank + 1) % size, previous = (rank + size - 1) % size;
      const at::Tensor got = at::zeros({count}, at::kLong);
      auto sent = group->launch_send(values(count, rank), next);
      group->receive(got, previous);
      sent->finish();
      EXPECT_TRUE(at::equal(got, values(count, previous)));
    }
  }
}

class DeadlineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (group_->size() == 1) {
      GTEST_SKIP() << "one rank waits for nobody";
    }
  }

  /// The ranks start each test together: some have waited in vain in the one before.
  void TearDown() override { mpi_session().gather_strings(""); }

  /// Runs what must fail, and gives its message.
  template <typename Wait>
  std::string message_of(const Wait& wait) {
    try {
      wait();
    } catch (const InternalError& error) {
      return error.what();
    }
    return "no error";
  }

  std::string silent_rank() const { return "rank 1 (" + mpi_session().world().host + ")"; }

  std::unique_ptr<Communicator> group_ = make_group(std::chrono::seconds(2));
};

TEST_F(DeadlineTest, NamesTheRankThatNeverSends) {
  if (group_->rank() == 0) {
    const at::Tensor tensor = at::zeros({16}, at::kFloat);
    const std::string message = message_of([&] { group_->receive(tensor, 1); });
    EXPECT_THAT(message, HasSubstr("in a receive of 64 bytes from " + silent_rank()));
    EXPECT_THAT(message, HasSubstr("rank 0 (" + mpi_session().world().host + ") waited 2."));
  }
}

TEST_F(DeadlineTest, NamesTheRankThatNeverReceives) {
  if (group_->rank() == 0) {
    const at::Tensor tensor = at::zeros({8 << 20}, at::kByte);
    const std::string message = message_of([&] { group_->send(tensor, 1); });
    EXPECT_THAT(message, HasSubstr("in a send of 8388608 bytes to " + silent_rank()));
  }
}

TEST_F(DeadlineTest, NamesThoseMissingInACollective) {
  if (group_->rank() != 1) {
    EXPECT_THAT(message_of([&] { group_->barrier(); }), HasSubstr(silent_rank()));
  }
}

TEST_F(DeadlineTest, NamesTheRootOfABroadcast) {
  if (group_->rank() == 0) {
    const at::Tensor tensor = at::zeros({16}, at::kFloat);
    EXPECT_THAT(message_of([&] { group_->broadcast(tensor, 1); }),
                HasSubstr("broadcast of 64 bytes from " + silent_rank()));
  }
}

TEST_F(DeadlineTest, SplitDoesNotWaitForEver) {
  if (group_->rank() != 1) {
    EXPECT_THAT(message_of([&] { group_->split(0); }), HasSubstr(silent_rank()));
  }
}

TEST_F(DeadlineTest, AnswersOfAnotherSizeAreErrors) {
  if (group_->rank() == 1) {
    group_->send(at::zeros({3}, at::kFloat), 0);
    group_->send(at::zeros({30}, at::kFloat), 0);
  } else if (group_->rank() == 0) {
    const at::Tensor tensor = at::zeros({16}, at::kFloat);
    EXPECT_THAT(message_of([&] { group_->receive(tensor, 1); }), HasSubstr("brought 12 bytes"));
    EXPECT_THAT(message_of([&] { group_->receive(tensor, 1); }), HasSubstr("MPI_ERR_TRUNCATE"));
  }
}

}  // namespace
}  // namespace latentcast::test
