// What the program does with inputs that it can't use: the exit code says whose fault it is, the message
// names the thing and the remedy, and nothing half-written is left.

#include <cstdlib>

#include "bad_input.h"
#include <gtest/gtest.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;

class BadInputs : public ::testing::TestWithParam<BadInput> {};

TEST_P(BadInputs, IsRefused) {
  TinyJob job;
  GetParam().damage(job);
  expect_refused(job, GetParam().exit_code, GetParam().says);
}

/// Or every test above would pass for a job that is bad in itself.
TEST(BadInputs, TheJobIsGoodOtherwise) {
  const TinyJob job;
  const ProgramResult result = run_latentcast(job.arguments());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(fs::is_regular_file(job.run_dir() / "video.mp4"));
}

TEST(BadInputs, NoGpu) {
  TinyJob job;
  job.options["device"] = "cuda";
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::string before = visible ? visible : "";
  setenv("CUDA_VISIBLE_DEVICES", "", 1);  // as on a machine that has none
  expect_refused(job, 64, {"--device cuda", "no GPU", "CUDA_VISIBLE_DEVICES", "use --device cpu"});
  visible ? setenv("CUDA_VISIBLE_DEVICES", before.c_str(), 1) : unsetenv("CUDA_VISIBLE_DEVICES");
}

std::string name_of(const ::testing::TestParamInfo<BadInput>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Options, BadInputs, ::testing::ValuesIn(bad_options()), name_of);
INSTANTIATE_TEST_SUITE_P(JobFiles, BadInputs, ::testing::ValuesIn(bad_job_files()), name_of);
INSTANTIATE_TEST_SUITE_P(Checkpoints, BadInputs, ::testing::ValuesIn(bad_checkpoints()), name_of);
INSTANTIATE_TEST_SUITE_P(Media, BadInputs, ::testing::ValuesIn(bad_media()), name_of);
INSTANTIATE_TEST_SUITE_P(Places, BadInputs, ::testing::ValuesIn(bad_places()), name_of);

}  // namespace
}  // namespace latentcast::test
