#include "latentcast/comm/coordinate.h"

#include "group_under_test.h"
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "latentcast/error.h"

namespace latentcast::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class CoordinateTest : public testing::Test {
 protected:
  std::unique_ptr<Communicator> group_ = make_cpu_group();
  int last() const { return group_->size() - 1; }
};

TEST_F(CoordinateTest, GivesResultsIfAllSucceed) {
  EXPECT_EQ(coordinate(*group_, [&] { return group_->rank() * 10; }), group_->rank() * 10);
  bool ran = false;
  coordinate(*group_, [&] { ran = true; });
  EXPECT_TRUE(ran);
}

TEST_F(CoordinateTest, EveryoneLearnsOfOneError) {
  const auto fail = [&] {
    if (group_->rank() == last()) {
      throw OutputError("disk full: /there");
    }
  };
  if (group_->size() == 1) {
    EXPECT_THROW(coordinate(*group_, fail), OutputError);
    return;
  }
  try {
    coordinate(*group_, fail);
    ADD_FAILURE() << "no error";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::kOutput);
    EXPECT_THAT(error.what(), StartsWith("rank " + std::to_string(last()) + " ("));
    EXPECT_THAT(error.what(), EndsWith("): disk full: /there"));
  }
  group_->barrier();  // still usable
}

TEST_F(CoordinateTest, TheFirstOfSeveralErrorsCounts) {
  const int rank = group_->rank();
  if (group_->size() == 1) {
    GTEST_SKIP() << "one rank has one error";
  }
  try {
    coordinate(*group_, [&]() -> int {
      if (rank == 0) {
        throw std::runtime_error("first");
      }
      if (rank == 1) {
        throw InputError("second");
      }
      return rank;
    });
    ADD_FAILURE() << "no error";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::kInternal);
    EXPECT_THAT(error.what(), StartsWith("rank 0 ("));
    EXPECT_THAT(error.what(), HasSubstr("first"));
  }
}

TEST_F(CoordinateTest, RankZerosWordOnInputsStaysAsItIs) {
  if (group_->size() == 1) {
    GTEST_SKIP() << "one rank's errors aren't agreed on";
  }
  try {
    coordinate(*group_, [&] { throw InputError("no such picture"); });
    ADD_FAILURE() << "no error";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    EXPECT_STREQ(error.what(), "no such picture");
  }
}

TEST_F(CoordinateTest, LibTorchsErrorsToo) {
  const auto fail = [&] {
    if (group_->rank() == 0) {
      TORCH_CHECK(false, "shapes differ");
    }
  };
  if (group_->size() == 1) {
    EXPECT_THROW(coordinate(*group_, fail), c10::Error);
    return;
  }
  try {
    coordinate(*group_, fail);
    ADD_FAILURE() << "no error";
  } catch (const AgreedError& error) {
    EXPECT_THAT(error.what(), HasSubstr("rank 0 ("));
    EXPECT_THAT(error.what(), HasSubstr("shapes differ"));
  }
}

TEST_F(CoordinateTest, GathersStrings) {
  const auto text = [](int rank) {
    return std::string(static_cast<size_t>(rank * 5), static_cast<char>('a' + rank));
  };
  const std::vector<std::string> all = gather_strings(*group_, text(group_->rank()));
  ASSERT_EQ(all.size(), static_cast<size_t>(group_->size()));
  for (int i = 0; i < group_->size(); ++i) {
    EXPECT_EQ(all[static_cast<size_t>(i)], text(i));
  }
}

}  // namespace
}  // namespace latentcast::test
