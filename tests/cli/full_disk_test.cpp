// A disk that fills up while the program writes to it.

#include "bad_input.h"
#include "small_disk.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(FullDisk, StopsTheRunAndTheNextOneFinishesIt) {
  TinyJob job;
  SmallDisk disk(job.path("disk"), "size=760k");
  if (!disk.mounted()) GTEST_SKIP() << disk.reason();
  job.options["run_dir"] = job.path("disk/run");
  job.options["num_clip"] = "8";
  job.options["checkpoint"] = "light";  // exact ones have no room there, which is said at once
  const ProgramResult full = run_latentcast(job.arguments());
  EXPECT_EQ(full.exit_code, 74);
  EXPECT_THAT(full.err, AllOf(HasSubstr("disk/run has "), HasSubstr("are needed to go on")));
  EXPECT_TRUE(fs::is_regular_file(job.run_dir() / "segments/000000.ts")) << "what is finished stands";
  ASSERT_TRUE(disk.resize("size=8m"));
  const ProgramResult again = run_latentcast(job.arguments());
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(fs::is_regular_file(job.run_dir() / "video.mp4"));
}

TEST(FullDisk, HasNoRoomForTheVideo) {
  TinyJob job;
  SmallDisk disk(job.path("disk"), "size=16k");
  if (!disk.mounted()) GTEST_SKIP() << disk.reason();
  job.options["save_file"] = job.path("disk/talk.mp4");
  expect_refused(job, 74, {"disk/talk.mp4", "No space left", "free some space and run again"});
  EXPECT_TRUE(fs::is_regular_file(job.run_dir() / "segments/000000.ts")) << "what is finished stands";
}

TEST(FullDisk, HasNoRoomForTheTrace) {
  TinyJob job;
  SmallDisk disk(job.path("disk"), "size=256k");
  if (!disk.mounted()) GTEST_SKIP() << disk.reason();
  job.options["trace"] = job.path("disk/trace.safetensors");
  expect_refused(job, 74, {"disk/trace.safetensors", "No space left", "Free space"});
}

}  // namespace
}  // namespace latentcast::test
