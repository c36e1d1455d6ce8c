// Light checkpoints: a run that continues one goes on without a seam, though not to the same bytes, on
// whatever layout.

#include <csignal>

#include "files.h"
#include "resumed_run.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kSomeClips = kClips;
// Measured: equal frames, since three clips are all that the tiny model's two layers and its decoder can see.
// With one clip less the next one has 50 dB, with two less 35.
constexpr double kClose = 60;
constexpr int64_t kMostBytes = 2 << 20;  // of a checkpoint; an exact one of this model has 6 MB

const std::vector<std::string> kLight = {"--checkpoint", "light"};

Launch light(int ranks, std::vector<std::string> options = {}, const std::string& pause_at = {}) {
  options.insert(options.end(), kLight.begin(), kLight.end());
  return {.ranks = ranks, .options = options, .pause_at = pause_at, .clips = kSomeClips};
}

int64_t bytes_in(const fs::path& folder) {
  int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    bytes += static_cast<int64_t>(entry.file_size());
  }
  return bytes;
}

/// The least PSNR of its clips against the undisturbed video's; nothing if all are equal.
std::optional<double> worst_psnr(const ResumedRun& run) {
  const TemporaryFolder folder;
  const fs::path whole = folder.path() / "undisturbed.mp4";
  write_bytes(whole, undisturbed(kSomeClips));
  const ProgramResult result = run_latentcast({"compare", whole, run.video(), "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::optional<double> worst;
  const auto figures = nlohmann::json::parse(result.out);
  EXPECT_EQ(figures.at("segments").size(), static_cast<size_t>(kSomeClips));
  for (const auto& segment : figures.at("segments")) {
    if (!segment.at("psnr").is_null()) {
      const double psnr = segment.at("psnr");
      worst = std::min(worst.value_or(psnr), psnr);
    }
  }
  return worst;
}

std::map<std::string, std::string> before_clip(std::map<std::string, std::string> segments, int clip) {
  const std::string number = std::to_string(clip);
  segments.erase(segments.lower_bound(std::string(6 - number.size(), '0') + number), segments.end());
  return segments;
}

struct TwoLaunches {
  const char* name;
  Launch first, then;
};

class Light : public testing::TestWithParam<TwoLaunches> {};

TEST_P(Light, ContinuesWithoutASeam) {
  ResumedRun run;
  Launch first = GetParam().first;
  first.pause_at = "segment-closed:4";
  ASSERT_EQ(run.signalled(first, SIGTERM, {0}).exit_code, kStopped);
  ASSERT_FALSE(run.checkpoints().empty());
  const int position = run.checkpoints().front();
  ASSERT_GT(position, 3) << "else it is the whole render that is done again";
  ASSERT_LT(position, kSomeClips - 1);
  EXPECT_LT(bytes_in(run.checkpoint(position)), kMostBytes);
  EXPECT_FALSE(fs::exists(run.checkpoint(position) / "decoder.h5"));
  const auto finished = run.finished_segments();
  // Killed one clip further, whose segment will be made again.
  first.pause_at = "segment-listed:1";
  first.options.insert(first.options.end(), {"--checkpoint_clips", "100"});
  ASSERT_TRUE(run.killed(first, true, 0));
  ASSERT_GT(run.finished_segments().size(), finished.size());
  const ProgramResult result = run.run(GetParam().then);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out + result.err,
              AllOf(HasSubstr("continues after clip " + std::to_string(position - 1)),
                    HasSubstr("a light one: clips from " + std::to_string(position - 3) + " on"),
                    HasSubstr("not to the same bytes"),
                    HasSubstr("segments from clip " + std::to_string(position) + " on")));
  run.expect_untouched(finished);
  EXPECT_GT(worst_psnr(run).value_or(1000), kClose);
}

INSTANTIATE_TEST_SUITE_P(
    On, Light,
    testing::Values(
        TwoLaunches{"OneRank", light(1), light(1)}, TwoLaunches{"TwoByTimestep", light(2), light(2)},
        TwoLaunches{"TwoByLayers", light(2, {"--split", "layers"}), light(2, {"--split", "layers"})},
        TwoLaunches{"FiveThenTwoByLayers", light(5, {"--decoder", "rank"}), light(2, {"--split", "layers"})},
        TwoLaunches{"TwoByLayersThenFourSharded", light(2, {"--split", "layers"}),
                    light(4, {"--shard", "on"})},
        TwoLaunches{"BatchDecoding", light(1, {"--decode", "batch"}), light(2, {"--decode", "batch"})}),
    [](const auto& info) { return info.param.name; });

// All of the past is done again.
TEST(LightCheckpoint, OfTheFirstClipsGivesTheSameBytes) {
  ResumedRun run;
  EXPECT_EQ(run.signalled(light(2, {}, "computing:5"), SIGTERM, {0}).exit_code, kStopped);
  ASSERT_FALSE(run.checkpoints().empty());
  ASSERT_LE(run.checkpoints().front(), 3);
  run.finish(light(1), "a light one: clips from 0 on");
}

// While the clips before it are done again there is nothing new to keep.
TEST(LightCheckpoint, IsGoneBeyondBeforeAStopIsHeeded) {
  ResumedRun run;
  EXPECT_EQ(run.signalled(light(1, {}, "segment-closed:5"), SIGTERM).exit_code, kStopped);
  const int first = run.checkpoints().front();
  EXPECT_EQ(run.signalled(light(1, {}, "computing:5"), SIGTERM).exit_code, kStopped);
  EXPECT_EQ(run.checkpoints().front(), first + 1);
  EXPECT_EQ(run.run(light(1)).exit_code, 0);
  EXPECT_GT(worst_psnr(run).value_or(1000), kClose);
}

/// A run that has come to clip 3 with exact checkpoints and one clip further with light ones, so that the
/// light one has the latents of one clip only: what continues it differs.
class Mixed : public testing::Test {
 protected:
  void SetUp() override {
    const Launch exact{.pause_at = "segment-closed:3", .clips = kSomeClips};
    ASSERT_EQ(run_.signalled(exact, SIGTERM).exit_code, kStopped);
    ASSERT_EQ(run_.checkpoints().front(), 3);
    fs::copy(run_.checkpoint(3), aside_, fs::copy_options::recursive);
    ASSERT_EQ(run_.signalled(light(1, {}, "computing:5"), SIGTERM).exit_code, kStopped);
    ASSERT_EQ(run_.checkpoints().front(), 4);
  }

  TemporaryFolder folder_;
  fs::path aside_ = folder_.path() / "exact";
  ResumedRun run_;
};

TEST_F(Mixed, TheNewestIsTaken) {
  const ProgramResult seen = run_latentcast({"inspect", run_.run_dir()});
  EXPECT_EQ(seen.exit_code, 0);
  EXPECT_THAT(seen.out, AllOf(HasSubstr("clip 4, light"), HasSubstr("clip 3, exact"),
                              HasSubstr("continues with clip 4, not to the same bytes")));
  // By an exact run, which goes on with exact checkpoints.
  const ProgramResult stopped =
      run_.signalled({.pause_at = "segment-closed:2", .clips = kSomeClips}, SIGTERM);
  EXPECT_EQ(stopped.exit_code, kStopped) << stopped.err;
  EXPECT_THAT(stopped.out + stopped.err, HasSubstr("a light one: clips from 3 on"));
  const auto before = run_.finished_segments();
  const ProgramResult result = run_.run({.ranks = 2, .clips = kSomeClips});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out + result.err, Not(HasSubstr("not to the same bytes")));
  run_.expect_untouched(before);
  const std::optional<double> psnr = worst_psnr(run_);
  ASSERT_TRUE(psnr) << "one clip's latents were enough? Then this tests nothing";
  EXPECT_GT(*psnr, 25);
}

// Clips that continue a light checkpoint are not refused when an older, exact one gives others.
TEST_F(Mixed, AnOlderExactOneReplacesWhatCameAfter) {
  ASSERT_EQ(run_.signalled(light(1, {}, "segment-closed:3"), SIGTERM).exit_code, kStopped);
  ASSERT_GT(run_.checkpoints().front(), 5);
  fs::remove_all(run_.run_dir() / "checkpoint");
  fs::create_directory(run_.run_dir() / "checkpoint");
  fs::copy(aside_, run_.checkpoint(3), fs::copy_options::recursive);
  const auto before = before_clip(run_.finished_segments(), 4);
  run_.finish({.clips = kSomeClips}, "came out different from before: its segment is replaced");
  run_.expect_untouched(before);
}

}  // namespace
}  // namespace latentcast::test
