#include "latentcast/progress/run_lock.h"

#include <csignal>
#include <thread>

#include "progress_test_support.h"

namespace latentcast::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

/// A child that holds the lock until it is killed.
pid_t holder(const fs::path& file, const fs::path& ready) {
  const pid_t child = in_child([&] {
    const RunLock lock(file);
    write_bytes(ready, "x");
    while (true) pause();
  });
  while (!fs::exists(ready)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return child;
}

TEST(RunLock, RefusesASecondRunAndNamesTheFirst) {
  const TemporaryFolder folder;
  const pid_t child = holder(folder.path() / "lock", folder.path() / "ready");
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  EXPECT_THAT(failure([&] { const RunLock second(folder.path() / "lock"); }),
              AllOf(StartsWith("64: "), HasSubstr("another run"), HasSubstr("host " + std::string(host)),
                    HasSubstr("process " + std::to_string(child))));
  EXPECT_THAT(RunLock::holder(folder.path() / "lock"), HasSubstr("process " + std::to_string(child)));
  kill(child, SIGKILL);
  EXPECT_EQ(wait_for(child), 128 + SIGKILL);
  EXPECT_EQ(RunLock::holder(folder.path() / "lock"), "");
  EXPECT_EQ(failure([&] { const RunLock second(folder.path() / "lock"); }), "nothing")
      << "a killed run leaves no lock behind";
}

TEST(RunLock, HoldsWithinAProcessToo) {
  const TemporaryFolder folder;
  {
    const RunLock first(folder.path() / "lock");
    EXPECT_EQ(first.warning(), "");
    EXPECT_THAT(failure([&] { const RunLock second(folder.path() / "lock"); }), StartsWith("64: "));
    // Another descriptor of the file coming and going must not take the lock away.
    EXPECT_THAT(read_bytes(folder.path() / "lock"), HasSubstr(std::to_string(getpid())));
    EXPECT_THAT(failure([&] { const RunLock third(folder.path() / "lock"); }), StartsWith("64: "));
  }
  EXPECT_EQ(failure([&] { const RunLock second(folder.path() / "lock"); }), "nothing");
}

TEST(RunLock, IsNotKeptByAProgramThatTheRunStarted) {
  const TemporaryFolder folder;
  pid_t sleeper = 0;
  {
    const RunLock lock(folder.path() / "lock");
    sleeper = fork();
    if (sleeper == 0) {
      execlp("sleep", "sleep", "600", nullptr);
      _exit(1);
    }
    // Until exec has closed the child's copy.
    const fs::path name = "/proc/" + std::to_string(sleeper) + "/comm";
    while (read_bytes(name) != "sleep\n") std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(failure([&] { const RunLock second(folder.path() / "lock"); }), "nothing");
  kill(sleeper, SIGKILL);
  wait_for(sleeper);
}

TEST(RunLock, CannotBeMade) {
  const TemporaryFolder folder;
  EXPECT_THAT(failure([&] { const RunLock lock(folder.path() / "none/lock"); }),
              AllOf(StartsWith("74: "), HasSubstr("none/lock")));
}

}  // namespace
}  // namespace latentcast::test
