#include "latentcast/pipeline/cuts.h"

#include <atomic>

#include "thread_communicator.h"
#include <gtest/gtest.h>

#include "latentcast/error.h"

namespace latentcast::test {
namespace {

Cut in_turn(int64_t clip) { return clip % 3 == 1 ? Cut::kSave : clip == 8 ? Cut::kStop : Cut::kNone; }

TEST(Cuts, AreWhatRankZeroDecidesOnEveryRankHoweverOftenAsked) {
  std::atomic<int> asked = 0;
  run_ranks(4, [&](std::unique_ptr<Communicator> links) {
    Cuts cuts(
        std::move(links),
        [&](int64_t clip, bool wished) {
          EXPECT_FALSE(wished);
          ++asked;
          return in_turn(clip);
        },
        [] { return false; });
    for (int64_t clip = 0; clip < 9; ++clip) {
      EXPECT_EQ(cuts.after(clip), in_turn(clip));
      EXPECT_EQ(cuts.after(clip), in_turn(clip));
      if (clip > 2) {
        EXPECT_EQ(cuts.after(clip - 3), in_turn(clip - 3)) << "a stage that is some clips behind";
      }
    }
    cuts.close();
  });
  EXPECT_EQ(asked, 9);
}

TEST(Cuts, AWishOfAnyRankReachesRankZero) {
  std::atomic<bool> stopped = false;
  run_ranks(3, [&](std::unique_ptr<Communicator> links) {
    const int rank = links->rank();
    int64_t now = 0;
    Cuts cuts(
        std::move(links), [](int64_t, bool wished) { return wished ? Cut::kStop : Cut::kNone; },
        [&] { return rank == 2 && now >= 3; });
    Cut cut = Cut::kNone;
    for (; cut != Cut::kStop && now < 100000; ++now) {
      cut = cuts.after(now);
    }
    EXPECT_GT(now, 3);
    stopped = stopped || cut == Cut::kStop;
    cuts.close();
  });
  EXPECT_TRUE(stopped);
}

TEST(Cuts, WithoutAWishNothingIsLeftUnderWay) {
  run_ranks(3, [&](std::unique_ptr<Communicator> links) {
    Cuts cuts(
        std::move(links), [](int64_t, bool) { return Cut::kNone; }, [] { return false; });
    cuts.close();
  });
}

}  // namespace
}  // namespace latentcast::test
