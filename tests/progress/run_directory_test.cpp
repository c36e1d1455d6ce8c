#include "latentcast/progress/run_directory.h"

#include "progress_test_support.h"
#include "small_disk.h"

#include "latentcast/config/options.h"
#include "latentcast/progress/durable_file.h"
#include "latentcast/progress/segment_store.h"

namespace latentcast::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class Run : public ::testing::Test {
 protected:
  Run() {
    job.ckpt_dir = data_folder() / "tiny/checkpoint";
    job.image = data_folder() / "tiny/portrait.png";
    job.audio = {data_folder() / "tiny/speech.wav"};
    job.prompt = "A person speaks.";
    job.base_seed = 1;
    job.threads = 1;
    job.num_clip = 2;
    job.run_dir = folder.path() / "run";
  }
  RunState begin(const RenderJob& asked) {
    RunDirectory run(asked);
    FileHashCache cache(folder.path() / "hashes.json");
    return run.begin(identify(asked, "cpu", "float32", cache));
  }
  std::string refusal(const RenderJob& asked) {
    return failure([&] { begin(asked); });
  }
  /// Segments as if rendered.
  void render(int64_t from, int64_t to, int64_t clips) {
    SegmentStore store(paths(), {.clips = clips, .frames_a_clip = 48}, {}, [](const std::string&) {});
    for (int64_t clip = from; clip < to; ++clip) {
      write_bytes(store.place_for(clip), "clip " + std::to_string(clip));
      store.commit(clip, 48);
    }
  }
  void finish(const fs::path& video) {
    SegmentStore store(paths(), {.clips = 2, .frames_a_clip = 48}, {}, [](const std::string&) {});
    write_bytes(video, "video");
    store.finish(video);
  }
  RunPaths paths() const { return RunPaths(job); }

  TemporaryFolder folder;
  RenderJob job;
};

TEST_F(Run, GoesFromFreshToFinished) {
  EXPECT_EQ(begin(job), RunState::kFresh);
  EXPECT_TRUE(fs::exists(paths().job()));
  EXPECT_EQ(begin(job), RunState::kFresh);
  render(0, 1, 2);
  EXPECT_EQ(begin(job), RunState::kFresh) << "segments alone are nothing to continue from";
  fs::create_directories(paths().checkpoint_part(1));
  EXPECT_EQ(begin(job), RunState::kFresh) << "an unfinished checkpoint is none";
  fs::create_directories(paths().checkpoint(1));
  EXPECT_EQ(begin(job), RunState::kResumable);
  render(1, 2, 2);
  EXPECT_EQ(begin(job), RunState::kRendered);
  finish(paths().video);
  EXPECT_EQ(begin(job), RunState::kFinished);
  EXPECT_EQ(run_state(RunPaths(job.run_dir)), RunState::kFinished);

  RenderJob elsewhere = job;
  elsewhere.save_file = folder.path() / "talk.mp4";
  EXPECT_EQ(begin(elsewhere), RunState::kRendered) << "the video is wanted at another place";
  fs::remove(paths().video);
  EXPECT_EQ(begin(job), RunState::kRendered);
  write_bytes(paths().video, "half");
  EXPECT_EQ(begin(job), RunState::kRendered);
}

TEST_F(Run, IsExtendedByMoreClips) {
  begin(job);
  render(0, 2, 2);
  finish(paths().video);
  fs::create_directories(paths().checkpoint(2));
  RenderJob longer = job;
  longer.num_clip = 3;
  EXPECT_EQ(begin(longer), RunState::kResumable);
  EXPECT_EQ(begin(longer), RunState::kResumable) << "also when it was killed before it had begun";
  render(2, 3, 3);
  EXPECT_EQ(begin(longer), RunState::kRendered);
}

TEST_F(Run, RefusesAnotherJobAndSaysWhatDiffers) {
  begin(job);
  RenderJob other = job;
  other.base_seed = 2;
  EXPECT_THAT(refusal(other),
              AllOf(StartsWith("64: "), HasSubstr("holds another job (differs in base_seed)")));
  other = job;
  other.image = folder.path() / "portrait.png";
  fs::copy_file(job.image, other.image);
  EXPECT_EQ(refusal(other), "nothing") << "the same picture at another place";
  flip(other.image, 2000);
  EXPECT_THAT(refusal(other), AllOf(StartsWith("64: "), HasSubstr("image has other contents")));
  other = job;
  other.timeout = 100;
  EXPECT_EQ(refusal(other), "nothing");
}

TEST_F(Run, FindsADamagedIdentity) {
  begin(job);
  flip(paths().identity(), 100, 1);
  EXPECT_THAT(refusal(job), AllOf(StartsWith("64: "), HasSubstr("identity.json is damaged")));
}

TEST_F(Run, IsLockedWhileItIsOpen) {
  const RunDirectory run(job);
  EXPECT_THAT(refusal(job), AllOf(StartsWith("64: "), HasSubstr("another run is at work"),
                                  HasSubstr("process " + std::to_string(getpid()))));
}

TEST_F(Run, RefusesToStartBesideAStopFile) {
  begin(job);
  write_bytes(paths().stop_file(), "");
  EXPECT_THAT(refusal(job), AllOf(StartsWith("64: "), HasSubstr("run/stop"), HasSubstr("remove it")));
  fs::remove(paths().stop_file());
  EXPECT_EQ(refusal(job), "nothing");
}

TEST_F(Run, KeepsWhatWasDrawn) {
  RenderJob open = job;
  open.base_seed.reset();
  open.threads = 0;
  adopt_earlier_choices(open);
  EXPECT_FALSE(open.base_seed) << "there is no earlier run";
  job.base_seed = 123;
  begin(job);
  adopt_earlier_choices(open);
  EXPECT_EQ(open.base_seed, 123u);
  EXPECT_EQ(open.threads, 1);
  RenderJob given = job;
  given.base_seed = 5;
  adopt_earlier_choices(given);
  EXPECT_EQ(given.base_seed, 5u) << "what is asked for is refused, not overwritten";
  RenderJob beside = job;
  beside.base_seed.reset();
  beside.save_file = folder.path() / "run.mp4";
  beside.run_dir.clear();
  fs::rename(folder.path() / "run", folder.path() / "run.run");
  adopt_earlier_choices(beside);
  EXPECT_EQ(beside.base_seed, 123u) << "the folder beside --save_file";
}

TEST_F(Run, ChecksTheRoom) {
  begin(job);
  EXPECT_EQ(failure([&] { check_room(paths(), 1000, "checkpoints"); }), "nothing");
  EXPECT_THAT(failure([&] { check_room(paths(), int64_t{1} << 60, "three checkpoints"); }),
              AllOf(StartsWith("74: "), HasSubstr("three checkpoints take 1073741824.00 GiB")));
}

// New checkpoints take the place of those that are there.
TEST_F(Run, CountsEarlierCheckpointsAsRoom) {
  SmallDisk disk(folder.path() / "disk", "size=1m");
  if (!disk.mounted()) GTEST_SKIP() << disk.reason();
  job.run_dir = disk.path() / "run";
  fs::create_directories(paths().checkpoint(3));
  write_bytes(paths().checkpoint(3) / "decoder.h5", std::string(700 << 10, 'x'));
  EXPECT_EQ(failure([&] { check_room(paths(), 900 << 10, "checkpoints"); }), "nothing");
  EXPECT_THAT(failure([&] { check_room(paths(), 1100 << 10, "checkpoints"); }),
              AllOf(StartsWith("74: "), HasSubstr("besides 0.68 MiB of earlier ones")));
}

TEST_F(Run, OnAReadOnlyDisk) {
  SmallDisk disk(folder.path() / "disk", "size=1m");
  if (!disk.mounted()) GTEST_SKIP() << disk.reason();
  job.run_dir = disk.path() / "run";
  begin(job);
  ASSERT_TRUE(disk.make_read_only());
  EXPECT_THAT(refusal(job), AllOf(StartsWith("74: "), HasSubstr("Read-only file system")));
}

TEST(DurableFile, KeepsTheOldTextWhereTheNewOneHasNoRoom) {
  const TemporaryFolder folder;
  SmallDisk disk(folder.path() / "disk", "size=64k");
  if (!disk.mounted()) GTEST_SKIP() << disk.reason();
  write_text_file(disk.path() / "text", "old");
  EXPECT_THAT(failure([&] { write_text_file(disk.path() / "text", std::string(100000, 'x')); }),
              AllOf(StartsWith("74: "), HasSubstr("disk/text"), HasSubstr("No space left")));
  EXPECT_EQ(read_text_file(disk.path() / "text"), "old");
  EXPECT_FALSE(fs::exists(disk.path() / "text.part"));
  EXPECT_THAT(failure([&] { write_text_file(disk.path() / "none/text", "x"); }),
              AllOf(StartsWith("74: "), HasSubstr("No such file")));
}

}  // namespace
}  // namespace latentcast::test
