// --fp8 on a CPU, which computes with the same 8-bit numbers as a GPU.

#include <algorithm>
#include <fstream>

#include "program.h"
#include "trace_compare.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;

TEST(Fp8, IsNearFloat32AndSaysWhatItLeft) {
  const TemporaryFolder folder;
  const fs::path trace = folder.path() / "trace.safetensors", run = folder.path() / "run";
  std::vector<std::string> args = case_arguments("landscape", run);
  args.insert(args.end(), {"--fp8", "--trace", trace.string()});
  const ProgramResult result = run_latentcast(args);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const TraceDifference difference =
      compare_trace(data_folder() / "cases" / "landscape" / "expected.safetensors", trace);
  EXPECT_THAT(difference.wrong, testing::IsEmpty());
  EXPECT_LE(difference.relative.at("text_embedding"), 2e-5) << "not part of the layers";
  const double velocity = difference.relative.at("rank0.step0.velocity");
  std::printf("largest difference of the first velocity: %.3f of its largest value\n", velocity);
  EXPECT_GT(velocity, 1e-3) << "8 bits must be seen";
  EXPECT_LT(velocity, 0.15);
  std::ifstream file(run / "report.json");
  const nlohmann::json report = nlohmann::json::parse(file);
  const auto left = report.at("ranks").at(0).at("not_in_fp8").get<std::vector<std::string>>();
  EXPECT_THAT(left, testing::IsSupersetOf({"text_embedding.*", "time_projection.*", "head.*"}));
}

}  // namespace
}  // namespace latentcast::test
