// Asked to stop: a checkpoint at the end of the clip, exit code 75, and the rest later to the same bytes.

#include <algorithm>
#include <csignal>
#include <thread>

#include "files.h"
#include "resumed_run.h"
#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kFewClips = 3;

/// In the first clip, on one rank.
Launch in_the_first_clip() { return {.ranks = 1, .pause_at = "computing:20", .clips = kFewClips}; }

/// After a stop in the first clip.
void expect_stopped(const ResumedRun& run, const ProgramResult& result, const std::string& by) {
  EXPECT_EQ(result.exit_code, kStopped) << result.err;
  EXPECT_THAT(result.err, HasSubstr("stopped by " + by));
  EXPECT_THAT(run.checkpoints(), ElementsAre(1));
  EXPECT_EQ(run.finished_segments().size(), 1U);
  EXPECT_FALSE(fs::exists(run.video()));
}

class StopSignal : public testing::TestWithParam<std::tuple<int, const char*>> {};

TEST_P(StopSignal, EndsWithACheckpoint) {
  const auto [number, name] = GetParam();
  ResumedRun run;
  expect_stopped(run, run.signalled(in_the_first_clip(), number), name);
  run.finish({.clips = kFewClips}, "continues after clip 0");
}

INSTANTIATE_TEST_SUITE_P(Each, StopSignal,
                         testing::Values(std::tuple(SIGTERM, "SIGTERM"), std::tuple(SIGINT, "SIGINT"),
                                         std::tuple(SIGUSR1, "SIGUSR1")),
                         [](const auto& info) { return std::get<1>(info.param); });

// mpirun's exit code is the ranks'. Rank 0 heeds its own wish at once; another rank's comes by a message that
// nobody waits for: it has twelve clips for that.
TEST(Stop, OfOneRankStopsAll) {
  for (const size_t rank : {0U, 2U}) {
    SCOPED_TRACE(rank);
    ResumedRun run;
    Launch launch{.ranks = 4, .pause_at = "computing:20"};
    launch.options = {"--checkpoint_clips", "100"};  // none but the stop's
    const ProgramResult result = run.signalled(launch, SIGUSR1, {rank});
    EXPECT_EQ(result.exit_code, kStopped) << result.err;
    const std::vector<int> kept = run.checkpoints();
    ASSERT_EQ(kept.size(), 1U);
    if (rank == 0) EXPECT_LE(kept.front(), 2);  // the stages behind it are still in the clip before
    run.finish({.ranks = 4}, "continues after clip " + std::to_string(kept.front() - 1));
  }
}

// mpirun passes it on in its own time: it has twelve clips for that.
TEST(Stop, ThroughMpirunStopsAll) {
  ResumedRun run;
  const auto program = run.pause({.ranks = 2, .pause_at = "computing:20"});
  ASSERT_TRUE(program);
  program->signal(SIGUSR1);
  run.go_on();
  const ProgramResult result = program->wait(kLimit);
  EXPECT_EQ(result.exit_code, kStopped) << result.err;
  EXPECT_EQ(run.checkpoints().size(), std::min<size_t>(2, run.finished_segments().size()));
  run.finish({.ranks = 2}, "continues after clip");
}

TEST(Stop, ByAFile) {
  ResumedRun run;
  const auto program = run.pause(in_the_first_clip());
  ASSERT_TRUE(program);
  write_bytes(run.run_dir() / "stop", "");
  run.go_on();
  expect_stopped(run, program->wait(kLimit), "the file");
  const ProgramResult refused = run.run({.clips = kFewClips});
  EXPECT_EQ(refused.exit_code, 64);
  EXPECT_THAT(refused.err, HasSubstr((run.run_dir() / "stop").string() + " asks for a stop"));
  fs::remove(run.run_dir() / "stop");
  run.finish({.clips = kFewClips}, "continues after clip 0");
}

// However slow the machine is: the limit grows until the run gets to its first clip within it.
TEST(Stop, ByMaxHours) {
  ResumedRun run;
  for (int seconds = 2; seconds <= 128; seconds *= 2) {
    Launch launch = in_the_first_clip();
    launch.options = {"--max_hours", std::to_string(seconds / 3600.0)};
    RunningProgram program(run.command(launch));
    if (run.wait_until_paused(program)) {
      std::this_thread::sleep_for(std::chrono::seconds(seconds));  // past the limit, wherever it began
      run.go_on();
      expect_stopped(run, program.wait(kLimit), "--max_hours");
      run.finish({.clips = kFewClips}, "continues after clip 0");
      return;
    }
    const ProgramResult result = program.wait(kLimit);
    EXPECT_EQ(result.exit_code, 70);
    EXPECT_THAT(result.err, HasSubstr("stopped by --max_hours before the first clip"));
    fs::remove(run.pause_log());
  }
  FAIL() << "the first clip was never begun";
}

TEST(Stop, BeforeTheFirstClipHasNothingToKeep) {
  ResumedRun run;
  for (const int ranks : {1, 2}) {
    fs::remove(run.run_dir() / "conditions.h5");
    const ProgramResult result =
        run.signalled({.ranks = ranks, .pause_at = "conditions-unnamed", .clips = kFewClips}, SIGTERM, {0});
    EXPECT_EQ(result.exit_code, 70) << result.err;
    EXPECT_THAT(result.err, HasSubstr("stopped by SIGTERM before the first clip"));
    EXPECT_THAT(run.checkpoints(), ElementsAre());
  }
  run.finish({.clips = kFewClips});
}

// A stop again and again, each time a clip further.
TEST(Stop, EveryClipStillComesToTheEnd) {
  ResumedRun run;
  for (int clip = 0; clip + 1 < kFewClips; ++clip) {
    EXPECT_EQ(run.signalled(in_the_first_clip(), SIGTERM).exit_code, kStopped);
    EXPECT_EQ(run.checkpoints().front(), clip + 1);
  }
  run.finish({.clips = kFewClips});
}

}  // namespace
}  // namespace latentcast::test
