// What the job scripts make of exit codes and of their config, with a stand-in for the program that ends as
// it is told.
#include <map>

#include "files.h"
#include "job_test.h"
#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class SlurmRules : public JobTest {
 protected:
  SlurmRules() : JobTest(LATENTCAST_STAND_IN, "prompt: none\n") {}
};

TEST_F(SlurmRules, BadInputAFullDiskAndAStopBeforeACheckpointAreFinal) {
  const std::map<int, Job> jobs = {{64, start("input", {"--exit_at", "2:64"})},
                                   {74, start("disk", {"--exit_at", "2:74"})},
                                   {70, start("early", {"--exit_at", "0:70"})}};
  for (const auto& [code, job] : jobs) {
    const JobState state = wait_for_end(job.id);
    EXPECT_EQ(state.state, "FAILED");
    EXPECT_EQ(state.exit_code, code);
    EXPECT_EQ(state.restarts, 0) << job.printed();
  }
}

// The first start leaves a checkpoint, from which two more don't get on.
TEST_F(SlurmRules, ASecondStartInVainIsTheLast) {
  for (const Job& job : start_both({"--die_at", "2"})) {
    const JobState state = wait_for_end(job.id);
    EXPECT_EQ(state.state, "FAILED");
    EXPECT_EQ(state.exit_code, 137) << job.printed();
    EXPECT_EQ(state.restarts, 2) << job.printed();
    EXPECT_THAT(job.printed(), HasSubstr("the first start in vain; to be started again"));
  }
}

TEST_F(SlurmRules, TheRunFolderIsTheConfigsOrOutput) {
  const fs::path other = lab().work() / "named.yaml", run = lab().work() / "from config";
  write_bytes(other, "prompt: none\nrun_dir: \"from config\"  # a name with a space\n");
  const auto submit_in_work = [&](const fs::path& job_config) {
    return wait_for_end(
        submit({"--chdir=" + lab().work().string(), "--ntasks-per-node=1", "--cpus-per-task=1",
                "--output=%j.out", script("render.sbatch"), job_config, "--seconds", "0"}));
  };
  EXPECT_EQ(submit_in_work(other).state, "FAILED");  // the stand-in does not read its config
  EXPECT_EQ(submit_in_work(config()).state, "COMPLETED");
  EXPECT_TRUE(fs::exists(lab().work() / "output" / "job" / "video.mp4"));
}

}  // namespace
}  // namespace latentcast::test
