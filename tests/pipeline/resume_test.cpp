// What may change between two runs in one folder, and what may not.

#include <csignal>

#include "files.h"
#include "resumed_run.h"
#include <gmock/gmock.h>
#include <unistd.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kFewClips = 4;

Launch on(int ranks, const std::vector<std::string>& options = {}) {
  return {.ranks = ranks, .options = options, .clips = kFewClips};
}

const std::vector<std::string> kByLayers = {"--split", "layers"};
const std::vector<std::string> kDecodeRank = {"--decoder", "rank"};
const std::vector<std::string> kSharded = {"--shard", "on"};

class Layouts : public testing::TestWithParam<Way> {};

TEST_P(Layouts, ContinueOneAnother) {
  ResumedRun run;
  run.stop_all_but_last(GetParam());
  const auto before = run.finished_segments();
  run.finish(GetParam().launches.back(), "continues after clip");
  run.expect_untouched(before);
}

INSTANTIATE_TEST_SUITE_P(
    Some, Layouts,
    testing::Values(Way{"FiveTwoByLayersOne", {on(5, kDecodeRank), on(2, kByLayers), on(1)}},
                    Way{"OneTwoByLayersFiveSharded",
                        {on(1), on(2, kByLayers), on(5, {"--decoder", "rank", "--shard", "on"})}},
                    Way{"FourShardedThreeByLayers",
                        {on(4, kSharded), on(3, {"--split", "layers", "--decoder", "rank"}), on(2)}}),
    name_of);

TEST(TwoRuns, OneFolderTheSecondIsRefused) {
  ResumedRun run;
  const auto first = run.pause({.pause_at = "computing:5", .clips = kFewClips});
  ASSERT_TRUE(first);
  const std::vector<pid_t> processes = run.processes();
  ASSERT_EQ(processes.size(), 1U);
  char host[256] = "";
  ASSERT_EQ(gethostname(host, sizeof host - 1), 0);
  for (const int ranks : {1, 2}) {
    const ProgramResult second = run.run(on(ranks));
    EXPECT_EQ(second.exit_code, 64);
    EXPECT_THAT(second.err, AllOf(HasSubstr("another run is at work in this folder"),
                                  HasSubstr(std::string("host ") + host),
                                  HasSubstr("process " + std::to_string(processes.front()))));
  }
  first->signal(SIGKILL);
  EXPECT_EQ(first->wait(kLimit).exit_code, 128 + SIGKILL);
  run.finish(on(1));
}

TEST(FinishedRun, SaysSoAndIsExtended) {
  ResumedRun run;
  run.finish({.clips = 2});
  const auto before = run.finished_segments();
  const std::string video = read_bytes(run.video());
  for (const int ranks : {1, 2}) {
    const ProgramResult again = run.run({.ranks = ranks, .clips = 2});
    EXPECT_EQ(again.exit_code, 0) << again.err;
    EXPECT_THAT(again.out, HasSubstr("was finished by an earlier run"));
  }
  EXPECT_TRUE(read_bytes(run.video()) == video);
  run.finish({.clips = kFewClips});
  run.expect_untouched(before);
  run.finish({.ranks = 2, .clips = 6}, "continues after clip");
  run.expect_untouched(before);
}

// Killed while it is extended.
TEST(FinishedRun, ExtendedMayBeKilled) {
  for (const char* moment : {"text-unnamed:1", "text-unnamed:2", "text-unnamed:3", "computing:5"}) {
    SCOPED_TRACE(moment);
    ResumedRun run;
    run.finish({.clips = 2});
    ASSERT_TRUE(run.killed({.pause_at = moment, .clips = kFewClips}, true, 0));
    run.finish({.clips = kFewClips});
  }
}

/// A job in files of its own; stopped after its first clip.
class Changed : public testing::Test {
 protected:
  void SetUp() override {
    fs::copy(data_folder() / "tiny", job_, fs::copy_options::recursive);
    options_ = {"--ckpt_dir",          job_ / "checkpoint", "--image",
                job_ / "portrait.png", "--prompt",          "Somebody talks."};
    EXPECT_EQ(run_.signalled(launch("computing:5"), SIGTERM).exit_code, kStopped);
  }

  Launch launch(const std::string& pause_at = {}) const {
    return {.options = options_, .pause_at = pause_at, .clips = 2};
  }

  void expect_refused(const std::vector<std::string>& more, const std::string& reason) {
    Launch changed = launch();
    changed.options.insert(changed.options.end(), more.begin(), more.end());
    const auto before = run_.finished_segments();
    const ProgramResult result = run_.run(changed);
    EXPECT_EQ(result.exit_code, 64) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("holds another job"), HasSubstr(reason)));
    run_.expect_untouched(before);
  }

  TemporaryFolder folder_;
  fs::path job_ = folder_.path() / "tiny";
  std::vector<std::string> options_;
  ResumedRun run_;
};

TEST_F(Changed, FieldsAreRefused) {
  expect_refused({"--base_seed", "2"}, "base_seed");
  expect_refused({"--prompt", "Nobody talks."}, "prompt");
  expect_refused({"--threads", "2"}, "threads");
  EXPECT_EQ(run_.run(launch()).exit_code, 0) << "the unchanged job goes on";
}

TEST_F(Changed, FilesAreRefused) {
  for (const fs::path& file : {job_ / "portrait.png", job_ / "checkpoint" / "Wan2.1_VAE.pth",
                               job_ / "checkpoint" / "liveavatar.safetensors"}) {
    SCOPED_TRACE(file);
    const std::string before = read_bytes(file);
    std::string after = before;
    if (file.extension() == ".png") {
      after = read_bytes(data_folder() / "cases" / "portrait" / "tall.png");
    } else if (file.extension() == ".safetensors") {
      after.back() = static_cast<char>(after.back() ^ 1);  // a weight's lowest bits
    } else {
      after[after.size() / 2] = static_cast<char>(after[after.size() / 2] ^ 1);
    }
    write_bytes(file, after);
    expect_refused({}, file.filename());
    write_bytes(file, before);
  }
  EXPECT_EQ(run_.run(launch()).exit_code, 0) << "the unchanged job goes on";
}

}  // namespace
}  // namespace latentcast::test
