// `latentcast plan`, and renders that --vram chooses the means of. On a CPU, where what stays counts; the
// large model's figures by the shapes of its weights alone.

#include <algorithm>
#include <fstream>

#include "cli/bench_budget.h"
#include "files.h"
#include "program.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "latentcast/config/options.h"
#include "latentcast/error.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr int kBadInput = 64;
constexpr double kGib = 1 << 30;

using Options = std::vector<std::string>;

class Plan : public testing::Test {
 protected:
  ProgramResult plan(const Options& options, bool on_cpu = true) const {
    std::vector<std::string> args = {"plan", "--ckpt_dir", (data_folder() / "tiny" / "checkpoint").string(),
                                     "--size", "64*64"};
    if (on_cpu) args.insert(args.end(), {"--device", "cpu"});
    args.insert(args.end(), options.begin(), options.end());
    return run_latentcast(args);
  }
  json planned(Options options, bool on_cpu = true) const {
    options.insert(options.end(), {"--json", file().string()});
    const ProgramResult result = plan(options, on_cpu);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json::parse(read_bytes(file()));
  }
  ProgramResult render(const std::string& name, const Options& options) const {
    std::vector<std::string> args = case_arguments("tiny", folder_.path() / name);
    args.insert(args.end(), {"--threads", "1", "--sample_steps", "2"});
    args.insert(args.end(), options.begin(), options.end());
    return run_latentcast(args);
  }
  std::string video(const std::string& name) const { return read_bytes(folder_.path() / name / "video.mp4"); }
  RenderJob job_of(const std::string& name) const { return from_yaml(folder_.path() / name / "job.yaml"); }
  fs::path file() const { return folder_.path() / "plan.json"; }

  /// A budget for which `rung` of the ladder is the first that fits, as an option.
  static std::string budget_for(const json& plan, size_t rung) {
    const double here = plan["ladder"][rung]["device_bytes"];
    EXPECT_LT(here, plan["ladder"][rung - 1]["device_bytes"].get<double>());
    char text[40];
    std::snprintf(text, sizeof text, "%.10f", (here + 64) / kGib);
    return text;
  }

 private:
  TemporaryFolder folder_;
};

Options strings(const json& list) { return list.get<Options>(); }

TEST_F(Plan, AttentionIn8BitsKeepsItsCaches) {
  const json plan = planned({"--attention", "fp8"});
  EXPECT_THAT(strings(plan["plan"]["options"]), Contains("--attention fp8"));
  EXPECT_GT(plan["ladder"].size(), 1U);
  for (const json& rung : plan["ladder"]) {
    EXPECT_THAT(strings(rung["options"]),
                AllOf(Contains("--attention fp8"), Not(Contains("--offload_kv_cache")),
                      Not(Contains("--kv_dtype fp8"))));
  }
}

TEST_F(Plan, SaysWhatARenderWouldTakeAsItIsAskedFor) {
  const ProgramResult result = plan({"--ranks", "2", "--split", "layers", "--offload_kv_cache"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("64x64, 2 ranks"), HasSubstr("stage 1, decoder"),
                    HasSubstr("--split layers --layer_partition 1,1 --decoder stream --offload_kv"),
                    HasSubstr("at most"), HasSubstr("the fastest first")));
  const json plan = planned({"--ranks", "2", "--split", "layers", "--offload_kv_cache"});
  EXPECT_THAT(strings(plan["plan"]["options"]), Contains("--offload_kv_cache"));
  EXPECT_EQ(plan["plan"]["ranks"].size(), 2u);
  EXPECT_EQ(plan["plan"]["layout"]["stages"].size(), 2u);
  EXPECT_FALSE(plan.contains("budget_bytes"));
}

TEST_F(Plan, CountsAGpuWithoutOne) {
  const json cpu = planned({}), gpu = planned({}, /*on_cpu=*/false);
  EXPECT_FALSE(cpu["plan"]["ranks"][0]["device"].contains("CUDA and NCCL"));
  EXPECT_GT(gpu["plan"]["ranks"][0]["device"]["CUDA and NCCL"], 500e6);
}

TEST_F(Plan, SeveralHostsTakeMore) {
  const json direct = planned({"--ranks", "2"}, false),
             nccl = planned({"--ranks", "2", "--gather", "collective"}, false);
  EXPECT_GT(nccl["plan"]["device_bytes"], direct["plan"]["device_bytes"].get<double>() + 500e6);
}

TEST_F(Plan, RefusesWhatFitsNowhereWithTheLeastThatDoes) {
  const ProgramResult result = plan({"--vram", "0.5", "--ranks", "2"}, false);
  EXPECT_EQ(result.exit_code, kBadInput);
  EXPECT_THAT(result.err, AllOf(HasSubstr("--vram 0.5: that is too little. The least that would do is"),
                                HasSubstr("on each of 2 GPUs"), HasSubstr("CUDA and NCCL")));
}

TEST_F(Plan, RefusesBadOptions) {
  for (const auto& [options, says] : std::vector<std::pair<Options, const char*>>{
           {{"--ranks", "0"}, "--ranks: '0'"},
           {{"--ranks", "many"}, "--ranks: 'many'"},
           {{"--ranks"}, "--ranks needs a value"},
           {{"--vram", "-1"}, "--vram: it must be more than 0"},
           {{"--vram=nan"}, "--vram"},
           {{"--kv_buffers", "0"}, "--kv_buffers: 0 is out of range"},
           {{"--ranks", "9"}, "9 ranks were started"},
           {{"--colour", "blue"}, "Unknown option --colour"}}) {
    const ProgramResult result = plan(options);
    EXPECT_EQ(result.exit_code, kBadInput) << options[0];
    EXPECT_THAT(result.err, HasSubstr(says));
  }
  EXPECT_EQ(run_latentcast({"plan"}).exit_code, kBadInput);
  EXPECT_EQ(run_latentcast({"plan", "--help"}).exit_code, 0);
}

TEST_F(Plan, OptionsThatAreGivenStay) {
  const json ladder = planned({"--ranks", "2"});
  const json plan =
      planned({"--ranks", "2", "--split", "timestep", "--kv_dtype", "fp8", "--vram", budget_for(ladder, 1)});
  EXPECT_THAT(strings(plan["plan"]["options"]),
              AllOf(Contains("--split timestep"), Contains("--kv_dtype fp8")));
}

TEST_F(Plan, ARenderTakesThePlansOptions) {
  // 8 bits for the caches are the first means that this model can have.
  const json plan = planned({"--sample_steps", "2"});
  ASSERT_THAT(strings(plan["ladder"][1]["options"]), testing::ElementsAre("--kv_dtype fp8"));
  const std::string small = budget_for(plan, 1);
  const ProgramResult chosen = render("chosen", {"--vram", small}),
                      named = render("named", {"--kv_dtype", "fp8"}),
                      plain = render("plain", {"--vram", "1"});
  ASSERT_EQ(chosen.exit_code, 0) << chosen.err;
  ASSERT_EQ(named.exit_code, 0) << named.err;
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_THAT(chosen.err, HasSubstr("this fits, as with --kv_dtype fp8"));
  EXPECT_THAT(plain.err, HasSubstr("this fits, as with no further options"));
  EXPECT_EQ(video("chosen"), video("named"));
  EXPECT_NE(video("chosen"), video("plain"));
  EXPECT_EQ(job_of("chosen").kv_dtype, "fp8") << "the job's identity has it";
}

TEST_F(Plan, AnotherBudgetChangesNoByteOfARunThatIsContinued) {
  const std::string small = budget_for(planned({"--sample_steps", "2"}), 1);
  const Options one = {"--num_clip", "1"}, two = {"--num_clip", "2"};
  const auto with = [](Options options, const Options& more) {
    options.insert(options.end(), more.begin(), more.end());
    return options;
  };
  // Begun in 8 bits: so it goes on, although the budget would do without.
  ASSERT_EQ(render("small", with(one, {"--vram", small})).exit_code, 0);
  const ProgramResult larger = render("small", with(two, {"--vram", "1"}));
  ASSERT_EQ(larger.exit_code, 0) << larger.err;
  EXPECT_EQ(job_of("small").kv_dtype, "fp8");
  ASSERT_EQ(render("named", with(two, {"--kv_dtype", "fp8"})).exit_code, 0);
  EXPECT_EQ(video("small"), video("named"));
  // Begun without: means that change no byte come instead.
  ASSERT_EQ(render("large", with(one, {"--vram", "1"})).exit_code, 0);
  const ProgramResult smaller = render("large", with(two, {"--vram", small}));
  ASSERT_EQ(smaller.exit_code, 0) << smaller.err;
  EXPECT_THAT(smaller.err,
              AllOf(HasSubstr("this fits, as with --offload_kv_cache"), Not(HasSubstr("kv_dtype"))));
  ASSERT_EQ(render("plain", two).exit_code, 0);
  EXPECT_EQ(video("large"), video("plain"));
  // Nothing fits but what would change them.
  const ProgramResult none = render("large", with({"--num_clip", "3"}, {"--vram", "0.0001"}));
  EXPECT_EQ(none.exit_code, kBadInput);
  EXPECT_THAT(none.err, HasSubstr("which can't change"));
}

/// Of the published model on GPUs.
BenchPlan large(double vram, int ranks, const std::string& size, BenchJob job = {}) {
  ComputeDevice gpu;
  gpu.device = at::Device(at::kCUDA, 0);
  gpu.dtype = at::kBFloat16;
  job.size = size;
  parse_bench_size(job);
  return plan_bench(job, vram, 4, DecodeMode::kOnline, model_shape("14b"), gpu, ranks, std::nullopt,
                    std::nullopt);
}

TEST(LargeModelsPlan, OneGpuOf24) {
  const BenchPlan plan = large(24, 1, "704*384");
  EXPECT_EQ(plan.layout.name, "one/stream");
  EXPECT_TRUE(plan.job.fp8 && plan.job.caches.on_host);
  EXPECT_FALSE(plan.job.caches.condition_on_host || plan.job.offload_decoder_state || plan.job.caches.fp8)
      << "the cheap means do";
  EXPECT_LE(plan.plan.device_bytes(), plan.budget);
}

TEST(LargeModelsPlan, TwoGpusOf16) {
  const BenchPlan plan = large(16, 2, "704*384");
  EXPECT_THAT(plan.layout.name, testing::StartsWith("layers+"));
  EXPECT_EQ(plan.layout.decoder, BenchDecoder::kStream);
  EXPECT_TRUE(plan.job.caches.on_host);
  EXPECT_FALSE(plan.job.offload_decoder_state);
  EXPECT_LE(plan.plan.device_bytes(), plan.budget);
}

TEST(LargeModelsPlan, TwoGpusOf11) {
  const BenchPlan plan = large(10.92, 2, "640*384");
  EXPECT_EQ(plan.layout.decoder, BenchDecoder::kAfter);
  EXPECT_TRUE(plan.job.caches.condition_on_host && plan.job.offload_decoder_state &&
              plan.job.offload_audio_encoder);
  EXPECT_LE(plan.plan.device_bytes(), plan.budget);
  EXPECT_EQ(plan.outside.size(), 2u);
}

TEST(LargeModelsPlan, RefusesLess) {
  EXPECT_THROW(large(9, 2, "704*384"), InputError);
  EXPECT_THROW(large(12, 1, "704*384"), InputError);
}

}  // namespace
}  // namespace latentcast::test
