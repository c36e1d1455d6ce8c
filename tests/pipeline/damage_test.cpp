// Files of a run that were damaged while it stood still, and a disk that fills up: never a silently different
// video.

#include <csignal>
#include <fstream>
#include <thread>

#include "files.h"
#include "resumed_run.h"
#include "small_disk.h"
#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kFewClips = 4;

/// A byte in the middle becomes another one; the file's times stay.
void flip_a_byte(const fs::path& file) {
  const auto time = fs::last_write_time(file);
  std::string bytes = read_bytes(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
  write_bytes(file, bytes);
  fs::last_write_time(file, time);
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

/// A run that stands behind its second clip, with the checkpoints behind the first and the second.
class Damage : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    stopped_ = new ResumedRun;
    const Launch launch{.pause_at = "computing:5", .clips = kFewClips};
    ASSERT_EQ(stopped_->signalled(launch, SIGTERM).exit_code, kStopped);
    ASSERT_EQ(stopped_->signalled(launch, SIGTERM).exit_code, kStopped);
    ASSERT_THAT(stopped_->checkpoints(), ElementsAre(2, 1));
  }
  static void TearDownTestSuite() { delete stopped_; }

  /// A copy of it.
  struct Copy {
    Copy() : run(folder.path() / "run") {
      fs::copy(stopped_->run_dir(), run.run_dir(), fs::copy_options::recursive);
    }
    TemporaryFolder folder;
    ResumedRun run;
  };

  static ResumedRun* stopped_;
};
ResumedRun* Damage::stopped_ = nullptr;

TEST_F(Damage, OfTheNewestCheckpointTakesTheOlderOne) {
  const std::vector<fs::path> files = files_in(stopped_->checkpoint(2));
  ASSERT_GE(files.size(), 7U) << "four timesteps, the decoder, the render, the manifest";
  int ranks = 1;
  for (const fs::path& file : files) {
    SCOPED_TRACE(file);
    Copy copy;
    const auto before = copy.run.finished_segments();
    flip_a_byte(copy.run.checkpoint(2) / file.filename());
    copy.run.finish({.ranks = ranks, .clips = kFewClips}, "continues after clip 0");
    copy.run.expect_untouched(before);
    ranks = 3 - ranks;
  }
}

TEST_F(Damage, OfTheNewestCheckpointIsSaid) {
  Copy copy;
  flip_a_byte(copy.run.checkpoint(2) / "decoder.h5");
  const ProgramResult result = copy.run.run({.clips = kFewClips});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out + result.err,
              AllOf(HasSubstr("the checkpoint before clip 2 can't be used"), HasSubstr("decoder.h5")));
}

TEST_F(Damage, OfBothCheckpointsIsRefused) {
  const char* pairs[][2] = {{"decoder.h5", "manifest.json"}, {"render.h5", "decoder.h5"}};
  int ranks = 1;
  for (const auto& [newer, older] : pairs) {
    Copy copy;
    flip_a_byte(copy.run.checkpoint(2) / newer);
    flip_a_byte(copy.run.checkpoint(1) / older);
    const ProgramResult result = copy.run.run({.ranks = ranks, .clips = kFewClips});
    EXPECT_EQ(result.exit_code, 64) << result.err;
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("none of the checkpoints can be used"), HasSubstr(newer), HasSubstr(older)));
    // As the message says.
    fs::remove_all(copy.run.run_dir() / "checkpoint");
    const auto before = copy.run.finished_segments();
    copy.run.finish({.clips = kFewClips});
    copy.run.expect_untouched(before);
    ++ranks;
  }
}

TEST_F(Damage, OfASegmentIsFoundAndMended) {
  Copy last;
  flip_a_byte(last.run.run_dir() / "segments" / "000001.ts");
  last.run.finish({.clips = kFewClips}, "000001.ts has been changed");

  Copy first;
  flip_a_byte(first.run.run_dir() / "segments" / "000000.ts");
  const ProgramResult result = first.run.run({.clips = kFewClips});
  EXPECT_EQ(result.exit_code, 64) << result.err;
  EXPECT_THAT(result.err, HasSubstr("000000.ts has been changed"));
  fs::remove_all(first.run.run_dir() / "checkpoint");
  first.run.finish({.clips = kFewClips});
}

TEST_F(Damage, OfTheManifestOfSegmentsOrConditionsIsMended) {
  for (const char* file : {"segments/manifest.json", "conditions.h5", "sound.aac"}) {
    SCOPED_TRACE(file);
    Copy copy;
    flip_a_byte(copy.run.run_dir() / file);
    copy.run.finish({.clips = kFewClips});
  }
}

TEST_F(Damage, OfTheIdentityIsRefused) {
  Copy copy;
  flip_a_byte(copy.run.run_dir() / "identity.json");
  const ProgramResult result = copy.run.run({.clips = kFewClips});
  EXPECT_EQ(result.exit_code, 64) << result.err;
  EXPECT_THAT(result.err, HasSubstr("identity.json"));
}

// Behind the computing's back, and found when the video is joined.
TEST_F(Damage, OfASegmentDuringTheRunIsFoundAtItsEnd) {
  Copy copy;
  const auto program = copy.run.pause({.pause_at = "computing:5", .clips = kFewClips});
  ASSERT_TRUE(program);
  flip_a_byte(copy.run.run_dir() / "segments" / "000000.ts");
  copy.run.go_on();
  const ProgramResult result = program->wait(kLimit);
  EXPECT_EQ(result.exit_code, 64) << result.err;
  EXPECT_THAT(result.err, HasSubstr("000000.ts has been changed"));
  EXPECT_FALSE(fs::exists(copy.run.video()));
}

TEST(FullDisk, WhileACheckpointIsWritten) {
  for (const int ranks : {1, 3}) {
    SCOPED_TRACE(ranks);
    const TemporaryFolder folder;
    SmallDisk disk(folder.path() / "disk", "size=64m");
    if (!disk.mounted()) GTEST_SKIP() << disk.reason();
    ResumedRun run(disk.path() / "run");
    Launch launch{.ranks = ranks, .pause_at = "computing:5", .clips = kFewClips};
    ASSERT_EQ(run.signalled(launch, SIGTERM).exit_code, kStopped);
    launch.pause_at = "checkpoint-writing";  // the second one meets a full disk
    const auto program = run.pause(launch);
    ASSERT_TRUE(program);
    while (fs::space(disk.path()).available > 0) {
      std::ofstream(disk.path() / "filler", std::ios::app) << std::string(4096, 'x') << std::flush;
    }
    run.go_on();
    const ProgramResult result = program->wait(kLimit);
    EXPECT_EQ(result.exit_code, 74) << result.err;
    EXPECT_THAT(result.err, HasSubstr("No space left"));
    EXPECT_THAT(run.checkpoints(), ElementsAre(1));
    const auto before = run.finished_segments();
    EXPECT_FALSE(before.empty());
    fs::remove(disk.path() / "filler");
    run.finish({.ranks = ranks, .clips = kFewClips}, "continues after clip 0");
    run.expect_untouched(before);
  }
}

/// Leaves so much room on it.
void fill(const SmallDisk& disk, uintmax_t room) {
  std::ofstream filler(disk.path() / "filler", std::ios::app);
  while (fs::space(disk.path()).available > room) {
    filler << std::string(4096, 'x') << std::flush;
  }
}

uintmax_t bytes_of(const fs::path& checkpoint) {
  uintmax_t bytes = 0;
  for (const fs::path& file : files_in(checkpoint)) bytes += fs::file_size(file);
  return bytes;
}

TEST(LowDisk, StopsWhileALastCheckpointFits) {
  const TemporaryFolder folder;
  SmallDisk disk(folder.path() / "disk", "size=64m");
  if (!disk.mounted()) GTEST_SKIP() << disk.reason();
  ResumedRun run(disk.path() / "run");
  ASSERT_EQ(run.signalled({.pause_at = "computing:5", .clips = kFewClips}, SIGTERM).exit_code, kStopped);
  const auto program = run.pause({.pause_at = "computing:5", .clips = kFewClips});
  ASSERT_TRUE(program);
  fill(disk, bytes_of(run.checkpoint(1)) * 6 / 5);
  run.go_on();
  const ProgramResult result = program->wait(kLimit);
  EXPECT_EQ(result.exit_code, 74) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("are needed to go on"), HasSubstr("continues it")));
  EXPECT_THAT(run.checkpoints(), ElementsAre(2, 1));
  const auto before = run.finished_segments();
  const ProgramResult refused = run.run({.clips = kFewClips});
  EXPECT_EQ(refused.exit_code, 74) << refused.err;
  fs::remove(disk.path() / "filler");
  run.finish({.clips = kFewClips}, "continues after clip 1");
  run.expect_untouched(before);
}

// There is room for two and the one that is being written, and that is enough.
TEST(LowDisk, IsNoneWhileACheckpointIsWritten) {
  constexpr int kMoreClips = 6;
  const TemporaryFolder folder;
  SmallDisk disk(folder.path() / "disk", "size=64m");
  if (!disk.mounted()) GTEST_SKIP() << disk.reason();
  ResumedRun run(disk.path() / "run");
  for (int stop = 0; stop < 2; ++stop) {
    ASSERT_EQ(run.signalled({.pause_at = "computing:5", .clips = kMoreClips}, SIGTERM).exit_code, kStopped);
  }
  fill(disk, bytes_of(run.checkpoint(2)) * 3 / 2);
  // Most of the third one is on the disk and stays so, while two clips more come to their ends.
  const auto program = run.pause({.pause_at = "checkpoint-file-closed:5", .clips = kMoreClips});
  ASSERT_TRUE(program);
  const auto end = std::chrono::steady_clock::now() + kLimit;
  while (run.finished_segments().size() < 5 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_GE(run.finished_segments().size(), 5U) << "it has stopped";
  EXPECT_LT(fs::space(disk.path()).available, bytes_of(run.checkpoint(2)));
  run.go_on();
  const ProgramResult result = program->wait(kLimit);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(read_bytes(run.video()) == undisturbed(kMoreClips));
}

}  // namespace
}  // namespace latentcast::test
