// When a checkpoint is due: by clips, by time, at a stop, and never while one is being written.
#include "pipeline/save_policy.h"

#include <gtest/gtest.h>

namespace latentcast::test {
namespace {

constexpr double kNoTimeAtAll = 1e-12;  // minutes

RenderJob job(double minutes, std::optional<int> clips) {
  RenderJob job;
  job.checkpoint_minutes = minutes;
  job.checkpoint_clips = clips;
  return job;
}

/// What it says after clips `from` to 9 of a run that nobody stops.
std::vector<Cut> all_after(SavePolicy policy, int64_t from) {
  std::vector<Cut> said;
  for (int64_t clip = from; clip < 10; ++clip) {
    said.push_back(policy.after(clip, false, false));
  }
  return said;
}

TEST(SavePolicy, SavesAfterSoManyClips) {
  const Cut none = Cut::kNone, save = Cut::kSave;
  EXPECT_EQ(all_after(SavePolicy(job(0, 3), 0), 0),
            (std::vector<Cut>{none, none, save, none, none, save, none, none, save, none}));
  EXPECT_EQ(all_after(SavePolicy(job(0, 3), 4), 4), (std::vector<Cut>{none, none, save, none, none, save}))
      << "counted from where the run continues";
}

TEST(SavePolicy, SavesBySoManyMinutes) {
  EXPECT_EQ(all_after(SavePolicy(job(kNoTimeAtAll, {}), 7), 7), (std::vector<Cut>(3, Cut::kSave)));
  EXPECT_EQ(all_after(SavePolicy(job(1e9, {}), 7), 7), (std::vector<Cut>(3, Cut::kNone)));
  EXPECT_EQ(all_after(SavePolicy(job(0, {}), 7), 7), (std::vector<Cut>(3, Cut::kNone))) << "0: none by time";
  EXPECT_EQ(RenderJob{}.checkpoint_minutes, 5);
}

TEST(SavePolicy, WaitsForTheOneThatIsBeingWritten) {
  SavePolicy policy(job(kNoTimeAtAll, {}), 0);
  EXPECT_EQ(policy.after(0, false, true), Cut::kNone);
  EXPECT_EQ(policy.after(1, false, false), Cut::kSave);
}

TEST(SavePolicy, SavesAtEveryStop) {
  SavePolicy policy(job(0, {}), 0);
  EXPECT_EQ(policy.after(0, true, false), Cut::kStop);
  EXPECT_EQ(policy.after(1, true, true), Cut::kStop);
}

TEST(SavePolicy, HasNothingToSaveBeforeWhereTheRunContinues) {
  SavePolicy policy(job(kNoTimeAtAll, 1), 5);
  EXPECT_EQ(policy.after(4, true, false), Cut::kNone);
  EXPECT_EQ(policy.after(5, false, false), Cut::kSave);
}

}  // namespace
}  // namespace latentcast::test
