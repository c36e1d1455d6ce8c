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
  bool own = false;
  try {
    coordinate(*group_, [&] {
      if (group_->rank() == last()) {
        throw OutputError("disk full: /there");
      }
    });
    ADD_FAILURE() << "no error";
  } catch (const OutputError& error) {
    own = true;
    EXPECT_STREQ(error.what(), "disk full: /there");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kOutput);
    EXPECT_THAT(error.what(), StartsWith("rank " + std::to_string(last()) + " ("));
    EXPECT_THAT(error.what(), EndsWith("): disk full: /there"));
  }
  EXPECT_EQ(own, group_->rank() == last());
  group_->barrier();  // still usable
}

TEST_F(CoordinateTest, EachThrowerKeepsItsOwnErrorAndOthersHearTheFirst) {
  const int rank = group_->rank();
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
  } catch (const InputError& error) {
    EXPECT_EQ(rank, 1);
    EXPECT_STREQ(error.what(), "second");
  } catch (const Error& error) {
    EXPECT_GE(rank, 2);
    EXPECT_EQ(error.code(), ExitCode::kInternal);
    EXPECT_THAT(error.what(), StartsWith("rank 0 ("));
    EXPECT_THAT(error.what(), HasSubstr("first"));
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(rank, 0);
    EXPECT_STREQ(error.what(), "first");
  }
}

TEST_F(CoordinateTest, LibTorchsErrorsToo) {
  try {
    coordinate(*group_, [&] {
      if (group_->rank() == 0) {
        TORCH_CHECK(false, "shapes differ");
      }
    });
    ADD_FAILURE() << "no error";
  } catch (const c10::Error&) {
    EXPECT_EQ(group_->rank(), 0);
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), EndsWith("shapes differ"));
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
