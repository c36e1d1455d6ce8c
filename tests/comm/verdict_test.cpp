#include "comm/verdict.h"

#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr Limits kLimits{10, 10};

RankState state(int rank, bool waiting, double quiet, double silent = 0.2) {
  RankState state;
  state.peer = {rank, "host" + std::to_string(rank)};
  state.doing.what = "item " + std::to_string(rank);
  state.doing.waiting = waiting;
  state.quiet = quiet;
  state.silent = silent;
  return state;
}

RankState done(int rank) {
  RankState state{{rank, "host"}, {}, true, 99, 99};
  return state;
}

TEST(Judge, NobodyWhileAllGetOn) {
  EXPECT_FALSE(judge({state(0, false, 1), state(1, false, 9.9), state(2, true, 5)}, kLimits));
}

TEST(Judge, AWaitHasNoLimitWhileSomebodyGetsOn) {
  EXPECT_FALSE(judge({state(0, true, 1000), state(1, false, 3), state(2, true, 1000)}, kLimits));
}

TEST(Judge, TheCulpritIsTheOneThatDoesNotWait) {
  const auto verdict = judge({state(0, true, 13), state(1, false, 11), state(2, true, 12)}, kLimits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->culprit, 1);
  EXPECT_EQ(verdict->speaker, 0);
  EXPECT_THAT(verdict->message, HasSubstr("rank 1 (host1)"));
  EXPECT_THAT(verdict->message, HasSubstr("11.0 s (the limit is 10 s) at item 1"));
  EXPECT_THAT(verdict->message, Not(HasSubstr("host0")));
}

TEST(Judge, SilenceIsWorseThanStandingStill) {
  // A stopped process's peers stand in calls that wait for it, without knowing.
  const auto verdict = judge({state(0, false, 30), state(1, true, 11, 11), state(2, false, 12)}, kLimits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->culprit, 1);
  EXPECT_THAT(verdict->message, HasSubstr("has not been heard of for 11.0 s"));
}

TEST(Judge, SilenceMayHaveALimitOfItsOwn) {
  const std::vector<RankState> ranks = {state(0, true, 6), state(1, false, 6, 6)};
  EXPECT_FALSE(judge(ranks, {10, 10}));
  EXPECT_EQ(judge(ranks, {10, 5})->culprit, 1);
}

TEST(Judge, WhoWaitedWhenItFellSilentIsACulpritToo) {
  EXPECT_EQ(judge({state(0, false, 1), state(1, true, 20, 20)}, kLimits)->culprit, 1);
}

TEST(Judge, RankZeroHasADeputy) {
  const auto verdict = judge({state(0, false, 11, 11), state(1, true, 3, 8), state(2, true, 3)}, kLimits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->culprit, 0);
  EXPECT_EQ(verdict->speaker, 2);  // rank 1 isn't heard of either
}

TEST(Judge, ACircleIsEndedAndShown) {
  const auto verdict = judge({state(0, true, 11), state(1, true, 12)}, kLimits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->culprit, -1);
  EXPECT_EQ(verdict->speaker, 0);
  EXPECT_THAT(verdict->message, HasSubstr("rank 0 (host0): item 0"));
  EXPECT_THAT(verdict->message, HasSubstr("rank 1 (host1): item 1"));
  EXPECT_FALSE(judge({state(0, true, 11), state(1, true, 9)}, kLimits));
}

TEST(Judge, WhoIsDoneIsNoCulprit) {
  EXPECT_FALSE(judge({done(0), state(1, false, 1)}, kLimits));
  EXPECT_FALSE(judge({done(0), done(1)}, kLimits));
  EXPECT_EQ(judge({done(0), state(1, false, 11)}, kLimits)->culprit, 1);
  EXPECT_EQ(judge({done(0), state(1, true, 11)}, kLimits)->culprit, -1);
  RankState just_done = done(0);
  just_done.quiet = 1;
  EXPECT_FALSE(judge({just_done, state(1, true, 11)}, kLimits)) << "the other may have gone on with it";
}

}  // namespace
}  // namespace latentcast::test
