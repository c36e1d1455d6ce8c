#include "latentcast/progress/pause_point.h"

#include <csignal>
#include <thread>

#include "progress_test_support.h"

namespace latentcast::test {
namespace {

TEST(PausePoint, DoesNothingUnasked) {
  unsetenv("LATENTCAST_PAUSE_LOG");
  pause_point("here");
}

TEST(PausePoint, StopsAtTheNamedTime) {
  const TemporaryFolder folder;
  const std::filesystem::path log = folder.path() / "log";
  const pid_t child = in_child([&] {
    setenv("LATENTCAST_PAUSE_LOG", log.c_str(), 1);
    setenv("LATENTCAST_PAUSE_AT", "here:2", 1);
    pause_point("here");
    pause_point("there");
    pause_point("here");
  });
  const std::string process = std::string(" ").append(std::to_string(child)).append("\n");
  const std::string expected = "here" + process + "there" + process + "here" + process + "paused" + process;
  while (!std::filesystem::exists(log) || read_bytes(log) != expected) {
    ASSERT_EQ(waitpid(child, nullptr, WNOHANG), 0) << read_bytes(log);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(child, SIGKILL);
  EXPECT_EQ(wait_for(child), 128 + SIGKILL);
}

TEST(PausePoint, GoesOnWhenItIsTold) {
  const TemporaryFolder folder;
  const std::filesystem::path log = folder.path() / "log";
  const pid_t child = in_child([&] {
    setenv("LATENTCAST_PAUSE_LOG", log.c_str(), 1);
    setenv("LATENTCAST_PAUSE_AT", "here", 1);
    pause_point("here");
  });
  while (!std::filesystem::exists(log) || read_bytes(log).find("paused") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  write_bytes(log.string() + ".go", "");
  EXPECT_EQ(wait_for(child), 0);
}

}  // namespace
}  // namespace latentcast::test
