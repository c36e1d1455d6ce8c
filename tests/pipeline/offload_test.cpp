// Attention caches in host memory and in 8 bits: on a CPU by the same code as on a GPU.

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

const Options kHost = {"--offload_kv_cache"};
const Options kAllHost = {"--offload_kv_cache", "--offload_condition_cache"};
const Options kSomeHost = {"--offload_kv_cache", "--kv_layers_on_device", "1"};
const Options kFp8 = {"--kv_dtype", "fp8"};

Launch on(int ranks, const std::vector<Options>& options = {}) {
  Launch launch{.ranks = ranks, .clips = kFewClips};
  for (const Options& some : options) {
    launch.options.insert(launch.options.end(), some.begin(), some.end());
  }
  return launch;
}

const Options kByLayers = {"--split", "layers"}, kByTimestep = {"--split", "timestep"},
              kSharded = {"--shard", "on"};

nlohmann::json caches_in_report(const fs::path& run_dir, size_t rank = 0) {
  std::ifstream file(run_dir / "report.json");
  return nlohmann::json::parse(file).at("ranks").at(rank).at("caches");
}

class Offload : public testing::TestWithParam<Way> {};

TEST_P(Offload, GivesTheSameBytes) {
  ResumedRun run;
  run.stop_all_but_last(GetParam());  // checkpoints hold caches that computing goes on to write
  run.finish(GetParam().launches.back());
}

INSTANTIATE_TEST_SUITE_P(
    Some, Offload,
    testing::Values(
        Way{"One", {on(1, {kHost})}}, Way{"OneWithTheCondition", {on(1, {kAllHost})}},
        Way{"OneWithALayerOnTheDevice", {on(1, {kSomeHost})}},
        Way{"OneInOneBuffer", {on(1, {kAllHost, {"--kv_buffers", "1"}})}},
        Way{"AudioEncoder",
            {on(1, {{"--offload_audio_encoder"}}), on(2, {kByLayers, {"--offload_audio_encoder"}})}},
        Way{"TwoByTimestep", {on(2, {kByTimestep, kAllHost})}},
        Way{"TwoByLayers", {on(2, {kByLayers, kHost})}},
        Way{"TwoSharded", {on(2, {kByTimestep, kSharded, kHost})}},
        Way{"DecoderState",
            {on(1, {{"--offload_decoder_state"}}), on(2, {kByLayers, kHost, {"--offload_decoder_state"}})}},
        Way{"Light", {on(1, {kHost, {"--checkpoint", "light"}})}},
        Way{"ContinuedWithout", {on(1, {kHost}), on(2, {kByLayers})}},
        Way{"ContinuedWith", {on(2, {kByLayers}), on(1, {kSomeHost}), on(2, {kByLayers, kHost})}}),
    name_of);

TEST(OffloadReport, SaysWhatIsWhere) {
  ResumedRun run;
  run.finish(on(1, {kSomeHost}), "attention caches: of 1 of 2 layers in host memory; ");
  const nlohmann::json caches = caches_in_report(run.run_dir());
  EXPECT_TRUE(caches.at("on_host").get<bool>());
  EXPECT_EQ(caches.at("layers_on_device"), 1);
  EXPECT_GT(caches.at("host_bytes").get<int64_t>(), 0);
  EXPECT_GT(caches.at("device_bytes").get<int64_t>(), 0);
}

/// The video of a run in 8 bits on one rank.
const std::string& fp8_video() {
  static const std::string video = [] {
    ResumedRun run;
    const ProgramResult result = run.run(on(1, {kFp8}));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_bytes(run.video());
  }();
  return video;
}

class Fp8CachesOn : public testing::TestWithParam<Way> {};

TEST_P(Fp8CachesOn, GiveTheSameBytesWhereverTheyAre) {
  ResumedRun run;
  run.stop_all_but_last(GetParam());  // checkpoints hold caches that computing goes on to write
  const ProgramResult result = run.run(GetParam().launches.back());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(read_bytes(run.video()) == fp8_video());
  EXPECT_FALSE(read_bytes(run.video()) == undisturbed(kFewClips)) << "8 bits must be seen";
}

INSTANTIATE_TEST_SUITE_P(Some, Fp8CachesOn,
                         testing::Values(Way{"One", {on(1, {kFp8, kAllHost})}},
                                         Way{"TwoByLayers", {on(2, {kFp8, kByLayers, kHost})}},
                                         Way{"Continued",
                                             {on(1, {kFp8, kSomeHost}), on(2, {kFp8, kByTimestep}),
                                              on(1, {kFp8, kHost})}}),
                         name_of);

TEST(Fp8Caches, AreNearTheOthers) {
  const TemporaryFolder folder;
  const fs::path trace = folder.path() / "trace.safetensors";
  Options args = case_arguments("landscape", folder.path() / "run");
  args.insert(args.end(), {"--kv_dtype", "fp8", "--trace", trace.string()});
  const ProgramResult result = run_latentcast(args);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const TraceDifference difference =
      compare_trace(data_folder() / "cases" / "landscape" / "expected.safetensors", trace);
  double worst = 0;
  for (const auto& [name, relative] : difference.relative) {
    if (name.ends_with("velocity")) worst = std::max(worst, relative);
  }
  std::printf("largest difference of a velocity: %.4f of its largest value\n", worst);
  EXPECT_GT(worst, 1e-5) << "8 bits must be seen";
  EXPECT_LT(worst, 0.1);
}

TEST(OffloadOptions, WhatCannotBeIsRefused) {
  const TemporaryFolder folder;
  const auto refusal = [&](const Options& options) {
    Options args = case_arguments("tiny", folder.path() / "run");
    args.insert(args.end(), options.begin(), options.end());
    const ProgramResult result = run_latentcast(args);
    EXPECT_EQ(result.exit_code, kBadInput);
    return result.err;
  };
  EXPECT_THAT(refusal({"--offload_condition_cache"}), HasSubstr("needs --offload_kv_cache"));
  EXPECT_THAT(refusal({"--kv_layers_on_device", "1"}), HasSubstr("needs --offload_kv_cache"));
  EXPECT_THAT(refusal({"--offload_kv_cache", "--kv_layers_on_device", "99"}),
              AllOf(HasSubstr("--kv_layers_on_device 99"), HasSubstr("2 layers")));
  EXPECT_THAT(refusal({"--kv_dtype", "int4"}), HasSubstr("fp8"));
}

}  // namespace
}  // namespace latentcast::test
