// How processes start and end; a rank that nobody ends would sleep past this test's time limit.
#include "program.h"
#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

using testing::HasSubstr;

ProgramResult alone(const std::string& way) { return run_program({LATENTCAST_LAUNCH_PROGRAM, way}); }
ProgramResult ranks(int count, const std::string& way) {
  return run_program({LATENTCAST_MPIRUN, "-n", std::to_string(count), LATENTCAST_LAUNCH_PROGRAM, way});
}

TEST(Launch, Alone) { EXPECT_EQ(alone("world").out, "0/1\n"); }

TEST(Launch, UnderMpirun) {
  const ProgramResult result = ranks(3, "world");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* line : {"0/3\n", "1/3\n", "2/3\n"}) {
    EXPECT_THAT(result.out, HasSubstr(line));
  }
}

TEST(Launch, AbortAlone) { EXPECT_EQ(alone("abort").exit_code, 64); }

TEST(Launch, AbortEndsAllRanks) { EXPECT_EQ(ranks(3, "abort").exit_code, 64); }

TEST(Launch, AnErrorOfOneRankEndsAllRanks) {
  const ProgramResult result = ranks(3, "throw");
  EXPECT_EQ(result.exit_code, 70);
  EXPECT_THAT(result.err, HasSubstr("thrown"));
}

TEST(Launch, ARankThatNeverStartsEndsAllRanks) {
  const ProgramResult result = ranks(2, "late");
  EXPECT_EQ(result.exit_code, 70);
  EXPECT_THAT(result.err, HasSubstr("waited 3 s for the other ranks to start"));
}

TEST(Launch, LeavesNoCore) {
  const std::string unlimited = "ulimit -c $(ulimit -H -c); exec \"$@\"";
  for (const std::vector<std::string>& launcher :
       {std::vector<std::string>{}, std::vector<std::string>{LATENTCAST_MPIRUN, "-n", "1"}}) {
    std::vector<std::string> command = {"bash", "-c", unlimited, "bash"};
    command.insert(command.end(), launcher.begin(), launcher.end());
    command.insert(command.end(), {LATENTCAST_LAUNCH_PROGRAM, "core"});
    EXPECT_EQ(run_program(command).out, "core 0\n");
  }
}

}  // namespace
}  // namespace latentcast::test
