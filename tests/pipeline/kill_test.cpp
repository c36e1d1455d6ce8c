// Killed by SIGKILL at sure moments, one rank or all of them, and continued: the same bytes as ever, and no
// finished segment changes.

#include <map>
#include <random>
#include <string>

#include "files.h"
#include "resumed_run.h"
#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

using Hits = std::map<std::string, int>;

/// Where a kill hits: a pause point, and among how many of its first times.
struct Moment {
  const char* kind;
  const char* name;
  int times;
};

constexpr const char* kComputing = "computing";
constexpr const char* kCheckpoint = "writing a checkpoint";
constexpr const char* kSegment = "writing a segment";
constexpr const char* kUnnamed = "between writing and renaming";
constexpr const char* kOther = "other";

/// In each run at most one checkpoint more than before, so that 12 clips last for all of them.
const std::vector<Moment> kMoments = {
    {kComputing, "computing", 40},       {kCheckpoint, "checkpoint-writing", 4},
    {kUnnamed, "segment-unnamed", 2},    {kSegment, "segment-writing", 90},
    {kUnnamed, "checkpoint-written", 1}, {kComputing, "computing", 40},
    {kSegment, "segment-writing", 90},   {kCheckpoint, "checkpoint-file-closed", 2},
};
/// Besides the four kinds that are counted: the steps in between.
const std::vector<Moment> kMoreMoments = {
    {kOther, "conditions-unnamed", 1}, {kUnnamed, "text-unnamed", 6},     {kOther, "segment-closed", 2},
    {kOther, "segment-listed", 2},     {kOther, "checkpoint-renamed", 1},
};

std::vector<std::string> by_layers(int ranks) {
  return ranks == 2 ? std::vector<std::string>{"--split", "layers"} : std::vector<std::string>{};
}

/// One run after another in a folder, each killed, and the last one whole.
void kill_again_and_again(int ranks, const std::vector<Moment>& moments, unsigned seed, Hits& hits) {
  std::mt19937 random(seed);
  ResumedRun run;
  for (const Moment& moment : moments) {
    const int time = 1 + static_cast<int>(random() % static_cast<unsigned>(moment.times));
    const bool all = random() % 2 == 0;
    const Launch launch{.ranks = ranks,
                        .options = by_layers(ranks),
                        .pause_at = std::string(moment.name) + ":" + std::to_string(time)};
    SCOPED_TRACE(launch.pause_at + (all ? ", all ranks of " : ", a rank of ") + std::to_string(ranks));
    if (!run.killed(launch, all, random())) return;
    ++hits[moment.kind];
  }
  const auto before = run.finished_segments();
  run.finish({.ranks = ranks, .options = by_layers(ranks)});
  run.expect_untouched(before);
}

void expect_five_of_each(const Hits& hits) {
  for (const char* kind : {kComputing, kCheckpoint, kSegment, kUnnamed}) {
    EXPECT_GE(hits.contains(kind) ? hits.at(kind) : 0, 5) << kind;
  }
}

TEST(Kill, AtSureMomentsLeavesTheSameBytes) {
  Hits hits;
  for (const int ranks : {1, 2, 5}) {
    kill_again_and_again(ranks, kMoments, static_cast<unsigned>(ranks), hits);
    if (HasFailure()) return;
  }
  expect_five_of_each(hits);
}

TEST(Kill, AfterTheLastClipLeavesOnlyTheJoin) {
  ResumedRun run;
  ASSERT_TRUE(run.killed({.ranks = 2, .pause_at = "video-joined", .clips = 2}, true, 0));
  run.finish({.clips = 2});
}

/// The same on every layout for itself, with the steps in between.
class LongKill : public testing::TestWithParam<std::tuple<int, unsigned>> {};

TEST_P(LongKill, AtSureMomentsLeavesTheSameBytes) {
  const auto [ranks, seed] = GetParam();
  Hits hits;
  kill_again_and_again(ranks, kMoments, seed, hits);
  kill_again_and_again(ranks, kMoments, seed + 1, hits);
  kill_again_and_again(ranks, kMoments, seed + 2, hits);
  kill_again_and_again(ranks, kMoreMoments, seed, hits);
  expect_five_of_each(hits);
}

INSTANTIATE_TEST_SUITE_P(Long, LongKill, testing::Combine(testing::Values(1, 2, 5), testing::Values(100U)));

}  // namespace
}  // namespace latentcast::test
