// --attention fp8: on a CPU by the twin of the GPU's kernel.

#include <csignal>
#include <fstream>

#include "files.h"
#include "resumed_run.h"
#include "trace_compare.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kFewClips = 4;
constexpr int kBadInput = 64;

using Options = std::vector<std::string>;

Launch on(int ranks, const Options& options = {}) {
  Launch launch{.ranks = ranks, .clips = kFewClips};
  launch.options = {"--attention", "fp8"};
  launch.options.insert(launch.options.end(), options.begin(), options.end());
  return launch;
}

/// The video of one rank that nobody stopped.
const std::string& undisturbed_fp8() {
  static const std::string video = [] {
    ResumedRun run;
    const ProgramResult result = run.run(on(1));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("attention and its caches in 8 bits: "));
    std::ifstream file(run.run_dir() / "report.json");
    const nlohmann::json caches = nlohmann::json::parse(file).at("ranks").at(0).at("caches");
    EXPECT_TRUE(caches.at("packed").get<bool>());
    return read_bytes(run.video());
  }();
  return video;
}

class PackedAttentionOn : public testing::TestWithParam<Way> {};

TEST_P(PackedAttentionOn, GivesTheSameBytes) {
  ResumedRun run;
  run.stop_all_but_last(GetParam());
  const ProgramResult result = run.run(GetParam().launches.back());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(read_bytes(run.video()) == undisturbed_fp8());
  EXPECT_FALSE(read_bytes(run.video()) == undisturbed(kFewClips)) << "8 bits must be seen";
}

INSTANTIATE_TEST_SUITE_P(
    Some, PackedAttentionOn,
    testing::Values(Way{"TwoByLayers", {on(2, {"--split", "layers"})}},
                    Way{"TwoSharded", {on(2, {"--split", "timestep", "--shard", "on"})}},
                    Way{"Continued", {on(1), on(2, {"--split", "timestep"}), on(2, {"--split", "layers"})}},
                    Way{"Light", {on(1, {"--checkpoint", "light"}), on(2)}}),
    name_of);

TEST(PackedAttention, IsNearTheOther) {
  const TemporaryFolder folder;
  const fs::path trace = folder.path() / "trace.safetensors";
  Options args = case_arguments("landscape", folder.path() / "run");
  args.insert(args.end(), {"--attention", "fp8", "--trace", trace.string()});
  const ProgramResult result = run_latentcast(args);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const TraceDifference difference =
      compare_trace(data_folder() / "cases" / "landscape" / "expected.safetensors", trace);
  EXPECT_THAT(difference.wrong, testing::IsEmpty());
  double worst = 0;
  for (const auto& [name, relative] : difference.relative) {
    if (name.ends_with("velocity")) worst = std::max(worst, relative);
  }
  std::printf("largest difference of a velocity: %.4f of its largest value\n", worst);
  EXPECT_GT(worst, 1e-5) << "8 bits must be seen";
  EXPECT_LT(worst, 0.1);
}

TEST(PackedAttention, IsAnotherJobThanWithout) {
  ResumedRun run;
  Launch launch = on(1);
  launch.pause_at = "computing:5";
  ASSERT_EQ(run.signalled(launch, SIGTERM, {0}).exit_code, kStopped);
  const ProgramResult other = run.run({.ranks = 1, .clips = kFewClips});
  EXPECT_EQ(other.exit_code, kBadInput);
  EXPECT_THAT(other.err, HasSubstr("attention"));
}

TEST(PackedAttention, WhatDoesNotGoWithItIsRefused) {
  const TemporaryFolder folder;
  const auto refusal = [&](const Options& options) {
    Options args = case_arguments("tiny", folder.path() / "run");
    args.insert(args.end(), options.begin(), options.end());
    const ProgramResult result = run_latentcast(args);
    EXPECT_EQ(result.exit_code, kBadInput);
    return result.err;
  };
  EXPECT_THAT(refusal({"--attention", "int4"}), HasSubstr("auto|fp8"));
  EXPECT_THAT(refusal({"--attention", "fp8", "--offload_kv_cache"}),
              AllOf(HasSubstr("--offload_kv_cache"), HasSubstr("--attention fp8")));
  EXPECT_THAT(refusal({"--attention", "fp8", "--kv_dtype", "fp8"}),
              AllOf(HasSubstr("--kv_dtype fp8"), HasSubstr("--attention fp8")));
  EXPECT_THAT(refusal({"--attention", "fp8", "--infer_frames", "180"}),
              AllOf(HasSubstr("infer_frames"), HasSubstr("168")));
}

}  // namespace
}  // namespace latentcast::test
