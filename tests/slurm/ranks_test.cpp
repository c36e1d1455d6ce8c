// A real Slurm: four ranks on two nodes, started by srun and by mpirun, give the bytes of one rank.
#include <algorithm>
#include <cstdlib>
#include <map>

#include "files.h"
#include "lab.h"
#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Slurm : public testing::Test {
 protected:
  /// Started by the first test, stopped at the program's end.
  static const SlurmLab& lab() {
    static const SlurmLab lab;
    return lab;
  }

  static std::vector<std::string> program(const fs::path& run) {
    std::vector<std::string> command = case_arguments("tiny", run);
    command.insert(command.begin(), std::getenv("LATENTCAST_PROGRAM"));
    command.insert(command.end(), {"--threads", "1"});
    return command;
  }

  static std::vector<std::string> joined(std::vector<std::string> words,
                                         const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  /// Two ranks a node, one after the other.
  static std::vector<std::string> two_nodes(const std::string& command,
                                            const std::vector<std::string>& more) {
    return joined({command, "--quiet", "--nodes=2", "--ntasks=4", "--ntasks-per-node=2"}, more);
  }
};

/// How many lines of the table of ranks name this host.
int64_t ranks_on(const std::string& host, const std::string& printed) {
  const std::vector<std::string> lines = lines_of(printed);
  return std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
    return line.find(" " + host + " ") != std::string::npos;
  });
}

TEST_F(Slurm, FourRanksOnTwoNodesGiveTheBytesOfOne) {
  const fs::path folder = lab().work();
  run_checked(program(folder / "one"));
  const std::string wanted = read_bytes(folder / "one" / "video.mp4");
  ASSERT_FALSE(wanted.empty());
  const std::map<std::string, std::vector<std::string>> launchers = {
      {"srun", two_nodes("srun", {})}, {"mpirun", two_nodes("salloc", {"mpirun", "-n", "4"})}};
  for (const auto& [name, launcher] : launchers) {
    SCOPED_TRACE(name);
    const ProgramResult result = run_program(joined(launcher, program(folder / name)));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(read_bytes(folder / name / "video.mp4") == wanted) << "the video differs";
    if (lab().own_host_names()) {
      EXPECT_EQ(ranks_on(lab().nodes()[0], result.err), 2) << result.err;
      EXPECT_EQ(ranks_on(lab().nodes()[1], result.err), 2) << result.err;
    }
  }
}

TEST_F(Slurm, TasksThatCannotFindOneAnotherSayHowToStartThem) {
  for (const char* way : {"--mpi=none", "--mpi=pmi2"}) {
    const fs::path run = lab().work() / "alone";
    const ProgramResult result = run_program(joined({"srun", "--quiet", "-n", "2", way}, program(run)));
    EXPECT_EQ(result.exit_code, 64) << way;
    EXPECT_THAT(result.err, HasSubstr("add --mpi=pmix to srun, or use mpirun")) << way;
    EXPECT_FALSE(fs::exists(run)) << way;
  }
}

TEST_F(Slurm, OneTaskNeedsNoLauncher) {
  const ProgramResult result =
      run_program({"srun", "--quiet", "-n", "1", "--mpi=none", LATENTCAST_LAUNCH_PROGRAM, "world"});
  EXPECT_EQ(result.out, "0/1\n") << result.err;
}

struct Gpus {
  std::string name;
  std::string asked_for;
  std::string launcher;
  std::vector<std::string> seen;  ///< by the ranks in their order, without the host
};

class SlurmGpus : public Slurm, public testing::WithParamInterface<Gpus> {};

TEST_P(SlurmGpus, EachRankTakesItsOwn) {
  if (!lab().own_host_names()) {
    GTEST_SKIP() << "both nodes have one host name here, so MPI counts all ranks as of one node";
  }
  std::vector<std::string> command = two_nodes(GetParam().launcher, {GetParam().asked_for});
  if (GetParam().launcher == "salloc") {
    command = joined(command, {"mpirun", "-n", "4"});
  }
  const std::vector<std::string> lines =
      lines_of(run_checked(joined(command, {LATENTCAST_LAUNCH_PROGRAM, "device"})));
  ASSERT_EQ(lines.size(), 4u);
  for (size_t rank = 0; rank < lines.size(); ++rank) {
    EXPECT_EQ(lines[rank], lab().nodes()[rank / 2] + " " + GetParam().seen[rank]);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Slurm, SlurmGpus,
    testing::Values(
        Gpus{"SrunByTask", "--gpus-per-task=1", "srun", {"0 -> 0", "1 -> 0", "0 -> 0", "1 -> 0"}},
        Gpus{"SrunByNode", "--gpus-per-node=2", "srun", {"0,1 -> 0", "0,1 -> 1", "0,1 -> 0", "0,1 -> 1"}},
        Gpus{
            "MpirunByNode", "--gpus-per-node=2", "salloc", {"0,1 -> 0", "0,1 -> 1", "0,1 -> 0", "0,1 -> 1"}}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace latentcast::test
