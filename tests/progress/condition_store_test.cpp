#include "latentcast/progress/condition_store.h"

#include "progress_test_support.h"
#include <ATen/ATen.h>

namespace latentcast::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class Conditions : public ::testing::Test {
 protected:
  Conditions() : file(folder.path() / "conditions.h5") {
    at::manual_seed(1);
    conditions.text = at::rand({7, 24});
    conditions.reference_latents = at::rand({16, 1, 4, 6});
    conditions.motion_latents = at::rand({16, 19, 4, 6});
    conditions.clips = 4;
    for (int i = 0; i < 4; ++i) audio.push_back(at::rand({2, 48, 10}));
    for (int i = 0; i < 3; ++i) pose.push_back(at::rand({16, 12, 4, 6}));
  }
  void write(size_t pose_clips = 0) {
    ConditionWriter writer(file, "the job", conditions);
    for (const at::Tensor& clip : audio) writer.add_audio(clip);
    for (size_t i = 0; i < pose_clips; ++i) writer.add_pose(pose[i]);
    writer.close();
  }

  TemporaryFolder folder;
  fs::path file;
  StoredConditions conditions;
  std::vector<at::Tensor> audio, pose;
};

TEST_F(Conditions, ComeBackClipByClip) {
  EXPECT_FALSE(ConditionStore::open(file, "the job"));
  conditions.speaker_mask = at::rand({2, 12, 2, 3});
  write();
  const auto store = ConditionStore::open(file, "the job");
  ASSERT_TRUE(store);
  EXPECT_TRUE(at::equal(store->conditions().text, conditions.text));
  EXPECT_TRUE(at::equal(store->conditions().reference_latents, conditions.reference_latents));
  EXPECT_TRUE(at::equal(store->conditions().motion_latents, conditions.motion_latents));
  EXPECT_TRUE(at::equal(store->conditions().speaker_mask, conditions.speaker_mask));
  EXPECT_EQ(store->conditions().clips, 4);
  for (const int64_t clip : {3, 0, 2, 1}) {
    EXPECT_TRUE(at::equal(store->audio(clip), audio[static_cast<size_t>(clip)]));
  }
  EXPECT_EQ(store->pose_clips(), 0);
  EXPECT_THAT(failure([&] { store->audio(4); }), StartsWith("70: "));
  EXPECT_THAT(failure([&] { store->pose(0); }), StartsWith("70: "));
}

TEST_F(Conditions, AreExtendedByClipsOfPose) {
  write(1);
  {
    ConditionWriter writer = ConditionWriter::extend(file);
    writer.add_pose(pose[1]);
    writer.add_pose(pose[2]);
    EXPECT_EQ(ConditionStore::open(file, "the job")->pose_clips(), 1) << "until it is whole";
    writer.close();
  }
  const auto store = ConditionStore::open(file, "the job");
  EXPECT_EQ(store->pose_clips(), 3);
  for (int64_t clip = 0; clip < 3; ++clip) {
    EXPECT_TRUE(at::equal(store->pose(clip), pose[static_cast<size_t>(clip)]));
  }
  EXPECT_TRUE(at::equal(store->audio(3), audio[3]));
  EXPECT_FALSE(store->conditions().speaker_mask.defined());
}

TEST_F(Conditions, OfAnotherJobAreRefused) {
  write();
  EXPECT_THAT(failure([&] { ConditionStore::open(file, "another job"); }),
              AllOf(StartsWith("64: "), HasSubstr("conditions.h5 belongs to another job")));
}

TEST_F(Conditions, AreNotThereBeforeTheyAreWhole) {
  {
    ConditionWriter writer(file, "the job", conditions);
    writer.add_audio(audio[0]);
    EXPECT_THAT(failure([&] { writer.close(); }), AllOf(StartsWith("70: "), HasSubstr("1 of 4")));
  }
  EXPECT_FALSE(ConditionStore::open(file, "the job"));
  EXPECT_FALSE(fs::exists(file.string() + ".part"));
}

TEST_F(Conditions, AreNeverReadWrong) {
  write(2);
  const std::string whole = read_bytes(file);
  int found = 0;
  for (size_t at = 0; at < whole.size(); at += at < 8192 ? 23 : 499) {
    flip(file, at, 0x40);
    const std::string outcome = failure([&] {
      const auto store = ConditionStore::open(file, "the job");
      bool same = store->conditions().clips == 4 && store->pose_clips() == 2 &&
                  at::equal(store->conditions().text, conditions.text) &&
                  at::equal(store->conditions().motion_latents, conditions.motion_latents) &&
                  at::equal(store->conditions().reference_latents, conditions.reference_latents);
      for (int64_t clip = 0; clip < 4; ++clip) {
        same = same && at::equal(store->audio(clip), audio[static_cast<size_t>(clip)]);
      }
      for (int64_t clip = 0; clip < 2; ++clip) {
        same = same && at::equal(store->pose(clip), pose[static_cast<size_t>(clip)]);
      }
      if (!same) throw InternalError("silently wrong");
    });
    EXPECT_TRUE(outcome == "nothing" || outcome.starts_with("64: ")) << "byte " << at << ": " << outcome;
    found += outcome == "nothing" ? 0 : 1;
    write_bytes(file, whole);
  }
  EXPECT_GT(found, 100);
}

}  // namespace
}  // namespace latentcast::test
