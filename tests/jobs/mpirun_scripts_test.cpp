// jobs/run_4gpu_tpp.sh and run_5gpu_tpp.sh, on the CPU, without Slurm.
#include <cstdlib>

#include "files.h"
#include "program.h"
#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class MpirunScripts : public testing::TestWithParam<const char*> {
 protected:
  static std::string script() { return std::string(LATENTCAST_SOURCE) + "/jobs/" + GetParam(); }
  const fs::path& folder() const { return folder_.path(); }

  /// Starts the script with the stand-in and sends it a signal, so many times, once `file` of the run is
  /// there.
  ProgramResult run_and_signal(const std::string& signal, int times, const std::string& file,
                               const std::string& seconds_a_clip) const {
    write_bytes(folder() / "job.yaml", "prompt: none\n");
    setenv("LATENTCAST", LATENTCAST_STAND_IN, 1);
    return run_program({"bash", "-c", R"(
      env --default-signal=INT "$1" "$2/job.yaml" --run_dir "$2/run" --num_clip 200 --seconds "$6" & job=$!
      until [[ -e $2/run/$5 ]]; do sleep 0.1; done
      for i in $(seq "$4"); do kill "-$3" $job; sleep 0.5; done
      wait $job)",
                        "bash", script(), folder(), signal, std::to_string(times), file, seconds_a_clip});
  }

 private:
  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Jobs, MpirunScripts, testing::Values("run_4gpu_tpp.sh", "run_5gpu_tpp.sh"),
                         [](const auto& info) { return std::string(info.param).substr(0, 8); });

TEST_P(MpirunScripts, GiveTheBytesOfOneRank) {
  setenv("LATENTCAST", std::getenv("LATENTCAST_PROGRAM"), 1);
  const std::string config = data_folder() / "tiny" / "job.yaml";
  const ProgramResult one = run_latentcast(
      {"render", "--config", config, "--device", "cpu", "--threads", "1", "--run_dir", folder() / "one"});
  ASSERT_EQ(one.exit_code, 0) << one.err;
  const ProgramResult many =
      run_program({script(), config, "--device", "cpu", "--threads", "1", "--run_dir", folder() / "many"});
  ASSERT_EQ(many.exit_code, 0) << many.err;
  EXPECT_TRUE(read_bytes(folder() / "one" / "video.mp4") == read_bytes(folder() / "many" / "video.mp4"));
}

TEST_P(MpirunScripts, StopWithACheckpointAtCtrlC) {
  for (const char* signal : {"INT", "TERM", "USR1"}) {
    fs::remove_all(folder() / "run");
    const ProgramResult result = run_and_signal(signal, 1, "checkpoint/clip-000002", "0.2");
    EXPECT_EQ(result.exit_code, 75) << signal << result.err;
    EXPECT_THAT(result.err, HasSubstr("stopped with checkpoint clip-")) << signal;
  }
}

TEST_P(MpirunScripts, EndAtASecondCtrlC) {
  const ProgramResult result = run_and_signal("INT", 2, "starts", "600");
  EXPECT_NE(result.exit_code, 0);
  EXPECT_NE(result.exit_code, 75);
  EXPECT_THAT(result.err, HasSubstr("ending at once"));
}

TEST_P(MpirunScripts, NameWhatIsMissing) {
  setenv("LATENTCAST", (folder() / "none").c_str(), 1);
  const ProgramResult no_program = run_program({script()});
  EXPECT_EQ(no_program.exit_code, 64);
  EXPECT_THAT(no_program.err, HasSubstr("tools/build.sh"));
  setenv("LATENTCAST", LATENTCAST_STAND_IN, 1);
  const ProgramResult no_config = run_program({script(), folder() / "none.yaml"});
  EXPECT_EQ(no_config.exit_code, 64);
  EXPECT_THAT(no_config.err, HasSubstr("none.yaml"));
}

}  // namespace
}  // namespace latentcast::test
