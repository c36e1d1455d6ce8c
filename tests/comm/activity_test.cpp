#include "latentcast/comm/activity.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace latentcast::test {
namespace {

TEST(Activity, SaysWhatAThreadDoes) {
  Activity activity;
  activity.begin("block 3");
  activity.part("layer 1");
  EXPECT_EQ(activity.look().what, "block 3, layer 1");
  activity.begin("block 4");
  EXPECT_EQ(activity.look().what, "block 4");
}

TEST(Activity, CountsWhatIsProgressAndNothingElse) {
  Activity activity;
  uint64_t last = activity.look().progress;
  const auto progressed = [&] { return std::exchange(last, activity.look().progress) != last; };
  activity.begin("block 3");
  EXPECT_TRUE(progressed());
  activity.part("layer 0");
  EXPECT_TRUE(progressed());
  activity.advance();
  EXPECT_TRUE(progressed());
  activity.look();
  EXPECT_FALSE(progressed());
  activity.rest();
  EXPECT_TRUE(progressed());
  activity.rest();
  EXPECT_FALSE(progressed());
}

TEST(Activity, AWaitIsNoProgressUntilItEnds) {
  Activity activity;
  activity.begin("block 3");
  const uint64_t before = activity.look().progress;
  {
    const PeerWait wait(&activity, "rank 1 (host): receive of 8 bytes");
    EXPECT_TRUE(activity.look().waiting);
    EXPECT_EQ(activity.look().what, "block 3; waits for rank 1 (host): receive of 8 bytes");
    EXPECT_EQ(activity.look().progress, before);
  }
  EXPECT_FALSE(activity.look().waiting);
  EXPECT_NE(activity.look().progress, before);
  EXPECT_EQ(activity.look().what, "block 3");
}

TEST(RankActivity, ARankWaitsIfNoThreadWorks) {
  RankActivity rank;
  rank.main.begin("block 3");
  EXPECT_FALSE(rank.look().waiting);
  const PeerWait wait(&rank.main, "rank 1");
  EXPECT_TRUE(rank.look().waiting);
  rank.decoder.begin("decoding block 2");
  EXPECT_FALSE(rank.look().waiting);
  EXPECT_EQ(rank.look().what, "block 3; waits for rank 1; beside it decoding block 2");
  rank.decoder.rest();
  EXPECT_TRUE(rank.look().waiting);
}

TEST(RankActivity, AGpuThatWaitsKeepsItsThreads) {
  RankActivity rank;
  rank.main.begin("block 3");
  rank.decoder.begin("decoding block 2");
  const PeerWait wait(&rank.device, "rank 1");
  EXPECT_TRUE(rank.look().waiting);
}

TEST(RankActivity, EveryThreadsProgressCounts) {
  RankActivity rank;
  rank.main.begin("block 3");
  rank.decoder.begin("decoding block 2");
  const uint64_t before = rank.look().progress;
  rank.decoder.part("its frames");
  EXPECT_NE(rank.look().progress, before);
}

TEST(Activity, TheProbeHearsEveryPlace) {
  Activity activity;
  std::vector<std::string> places;
  activity.set_probe([&](const std::string& what) { places.push_back(what); });
  activity.begin("block 3");
  activity.part("layer 0");
  activity.advance();
  EXPECT_EQ(places, (std::vector<std::string>{"block 3", "block 3, layer 0"}));
}

}  // namespace
}  // namespace latentcast::test
