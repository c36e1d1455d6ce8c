// `latentcast bench checkpoint` on a CPU. What is measured is not judged; what was written must come back.

#include <fstream>

#include "program.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

ProgramResult bench(const fs::path& folder, std::vector<std::string> more) {
  std::vector<std::string> args = {
      "bench",  "checkpoint", folder / "run", "--model", "tiny",   "--device",           "cpu",
      "--size", "128*128",    "--threads",    "1",       "--json", folder / "bench.json"};
  args.insert(args.end(), more.begin(), more.end());
  return run_latentcast(args);
}

json report_in(const fs::path& folder) {
  std::ifstream file(folder / "bench.json");
  return json::parse(file);
}

TEST(BenchCheckpoint, MeasuresBothStrengths) {
  const TemporaryFolder folder;
  const ProgramResult result = bench(folder.path(), {"--timesteps", "2", "--repeats", "2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json report = report_in(folder.path());
  EXPECT_EQ(json::parse(result.out), report);
  // 3 of 4 blocks of 3 x 8 x 8 tokens, keys and values of 4 layers of width 64 in float32.
  EXPECT_EQ(report.at("cache_bytes_per_timestep"), 3 * 3 * 8 * 8 * 2 * 4 * 64 * 4);
  for (const char* strength : {"exact", "light"}) {
    const json& figures = report.at(strength);
    EXPECT_EQ(figures.at("stall").at("repeats"), 2);
    EXPECT_GT(figures.at("on_disk_ms"), 0);
    EXPECT_GT(figures.at("continue").at("verify_s"), 0);
  }
  EXPECT_GT(report.at("exact").at("bytes"), 2 * report.at("cache_bytes_per_timestep").get<int64_t>() +
                                                report.at("decoder_bytes").get<int64_t>());
  EXPECT_EQ(report.at("exact").at("continue").at("came_back"), true);
  EXPECT_TRUE(fs::is_empty(folder.path() / "run")) << "it leaves nothing";
}

// Less memory than a checkpoint needs: copies wait for the disk.
TEST(BenchCheckpoint, WhatGoesThroughARingComesBack) {
  const TemporaryFolder folder;
  const double gib = 3.0 / 1024;
  const ProgramResult result = bench(folder.path(), {"--repeats", "2", "--host_gib", std::to_string(gib)});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json exact = report_in(folder.path()).at("exact");
  EXPECT_NEAR(exact.at("pinned").at("bytes"), gib * 1024 * 1024 * 1024, 1024);
  EXPECT_GT(exact.at("bytes"), 4 * exact.at("pinned").at("bytes").get<int64_t>());
  EXPECT_EQ(exact.at("continue").at("came_back"), true);
}

TEST(BenchCheckpoint, RefusesAFolderThatIsInUse) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "run" / "mine");
  const ProgramResult result = bench(folder.path(), {});
  EXPECT_EQ(result.exit_code, 64);
  EXPECT_THAT(result.err, HasSubstr("isn't empty"));
}

}  // namespace
}  // namespace latentcast::test
