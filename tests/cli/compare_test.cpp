// latentcast compare: its output, and what its exit code says.

#include <cmath>

#include "files.h"
#include "program.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// A moving picture of so many frames, the coarser the higher `crf`.
fs::path video(const fs::path& path, int frames, int crf) {
  const ProgramResult result =
      run_program({"ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=96x64:r=25", "-frames:v",
                   std::to_string(frames), "-pix_fmt", "yuv420p", "-c:v", "libx264", "-crf",
                   std::to_string(crf), path.string()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return path;
}

/// What a run leaves, as far as compare looks at it.
fs::path run_of(const fs::path& folder, const std::vector<int>& crfs) {
  fs::create_directories(folder / "segments");
  for (size_t i = 0; i < crfs.size(); ++i) {
    video(folder / "segments" / ("00000" + std::to_string(i) + ".ts"), 12, crfs[i]);
  }
  write_bytes(folder / "segments" / "000009.ts.part", "half a segment");
  return folder;
}

ProgramResult compare(const fs::path& a, const fs::path& b, std::vector<std::string> more = {}) {
  std::vector<std::string> args = {"compare", a.string(), b.string()};
  args.insert(args.end(), more.begin(), more.end());
  return run_latentcast(args);
}

TEST(Compare, PrintsATableOfAVideosParts) {
  const TemporaryFolder folder;
  const fs::path a = video(folder.path() / "a.mp4", 60, 20);
  const ProgramResult result = compare(a, a);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            "segment         frames    PSNR dB       SSIM\n"
            "frames 0-47         48        inf   1.000000\n"
            "frames 48-59        12        inf   1.000000\n"
            "overall             60        inf   1.000000\n");
}

TEST(Compare, TakesRunsClipByClip) {
  const TemporaryFolder folder;
  const fs::path a = run_of(folder.path() / "a", {20, 20}), b = run_of(folder.path() / "b", {20, 40});
  const ProgramResult result = compare(a, b, {"--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  ASSERT_EQ(json.at("segments").size(), 2U);
  const nlohmann::json &same = json.at("segments")[0], &coarse = json.at("segments")[1];
  EXPECT_EQ(same,
            nlohmann::json(
                {{"name", "000000"}, {"frames", 12}, {"psnr", nullptr}, {"ssim", 1.0}, {"identical", true}}));
  EXPECT_EQ(coarse.at("name"), "000001");
  EXPECT_GT(coarse.at("psnr"), 15);
  EXPECT_LT(coarse.at("psnr"), 45);
  EXPECT_LT(coarse.at("ssim"), 1);
  // Half of the frames don't differ: half the mean squared error, 3.01 dB more.
  EXPECT_NEAR(json.at("overall").at("psnr").get<double>(),
              coarse.at("psnr").get<double>() + 10 * std::log10(2), 1e-9);
  EXPECT_EQ(json.at("overall").at("frames"), 24);
}

TEST(Compare, FailsBelowMinPsnr) {
  const TemporaryFolder folder;
  const fs::path a = run_of(folder.path() / "a", {20, 20}), b = run_of(folder.path() / "b", {20, 40});
  EXPECT_EQ(compare(a, b, {"--min_psnr", "10"}).exit_code, 0);
  const ProgramResult below = compare(a, b, {"--min_psnr", "60"});
  EXPECT_EQ(below.exit_code, 1);
  EXPECT_THAT(below.err, AllOf(HasSubstr("000001: PSNR "), HasSubstr("below --min_psnr 60")));
  EXPECT_THAT(below.out, HasSubstr("overall"));
  EXPECT_EQ(compare(a, a, {"--min_psnr", "1000"}).exit_code, 0) << "what is identical is never below";
}

TEST(Compare, RefusesWhatItCantCompare) {
  const TemporaryFolder folder;
  const fs::path a = run_of(folder.path() / "a", {20, 20}), b = run_of(folder.path() / "b", {20});
  const fs::path file = a / "segments" / "000000.ts";
  fs::create_directories(folder.path() / "empty");
  const auto refused = [](const ProgramResult& result, const std::string& message) {
    EXPECT_EQ(result.exit_code, 64);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  refused(compare(a, b), "give two runs of the same length");
  refused(compare(a, file), "is a folder");
  refused(compare(a, folder.path() / "empty"), "holds no segments");
  refused(compare(file, video(folder.path() / "long.mp4", 13, 20)), "(13 frames)");
  refused(compare(file, folder.path() / "none.mp4"), "no such file");
  refused(compare(file, file, {"--min_psnr", "high"}), "see latentcast compare --help");
  refused(run_latentcast({"compare", file.string()}), "see latentcast compare --help");
}

}  // namespace
}  // namespace latentcast::test
