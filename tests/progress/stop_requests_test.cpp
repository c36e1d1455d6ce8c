#include "latentcast/progress/stop_requests.h"

#include <csignal>
#include <thread>

#include "progress_test_support.h"

namespace latentcast::test {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

class StopSignal : public ::testing::TestWithParam<int> {};

TEST_P(StopSignal, IsNotedOnceAndForAll) {
  const StopSignals signals;
  const StopRequests requests({.stop_file = {}, .max_hours = {}, .start = Clock::now(), .disk = {}});
  EXPECT_FALSE(requests.poll());
  raise(GetParam());
  const auto request = requests.poll();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->reason, StopReason::kSignal);
  EXPECT_EQ(request->text, std::string("SIG").append(sigabbrev_np(GetParam())));
  EXPECT_TRUE(requests.poll()) << "asked again";
}

INSTANTIATE_TEST_SUITE_P(Stop, StopSignal, ::testing::Values(SIGTERM, SIGINT, SIGUSR1),
                         [](const auto& info) { return std::string(sigabbrev_np(info.param)); });

TEST(StopSignals, ManyOfThemDoNotEndTheProcess) {
  const pid_t child = in_child([] {
    const StopSignals signals;
    for (const int signal : {SIGTERM, SIGTERM, SIGUSR1, SIGTERM, SIGINT}) raise(signal);
    if (StopSignals::received() != SIGTERM) _exit(3);
  });
  EXPECT_EQ(wait_for(child), 0);
}

TEST(StopSignals, InterruptingTwiceEndsAtOnce) {
  const pid_t child = in_child([] {
    const StopSignals signals;
    raise(SIGINT);
    raise(SIGINT);
  });
  EXPECT_EQ(wait_for(child), 128 + SIGINT);
}

TEST(StopSignals, AreTheSystemsAgainAfterwards) {
  const pid_t child = in_child([] {
    { const StopSignals signals; }
    raise(SIGTERM);
  });
  EXPECT_EQ(wait_for(child), 128 + SIGTERM);
}

/// A signal that comes when everything is over already, as launchers send them.
struct LateSignal {
  ~LateSignal() { raise(SIGUSR1); }
};

TEST(StopSignals, NotedFromNowOnTheyDoNotKillAProcessThatLeaves) {
  const pid_t child = in_child([] {
    static const LateSignal late;
    StopSignals::note_from_now_on();
    std::exit(75);
  });
  EXPECT_EQ(wait_for(child), 75);
}

TEST(StopRequests, AFileAsksForAStop) {
  const TemporaryFolder folder;
  const StopRequests requests(
      {.stop_file = folder.path() / "stop", .max_hours = {}, .start = Clock::now(), .disk = {}});
  EXPECT_FALSE(requests.poll());
  write_bytes(folder.path() / "stop", "");
  ASSERT_TRUE(requests.poll());
  EXPECT_EQ(requests.poll()->reason, StopReason::kStopFile);
  EXPECT_THAT(requests.poll()->text, HasSubstr((folder.path() / "stop").string()));
}

TEST(StopRequests, TimeRunsOut) {
  const auto an_hour_ago = Clock::now() - std::chrono::hours(1);
  EXPECT_FALSE(StopRequests({.stop_file = {}, .max_hours = 2, .start = an_hour_ago, .disk = {}}).poll());
  const auto request =
      StopRequests({.stop_file = {}, .max_hours = 0.5, .start = an_hour_ago, .disk = {}}).poll();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->reason, StopReason::kMaxHours);
}

TEST(StopRequests, TheDiskRunsLow) {
  const TemporaryFolder folder;
  const int64_t free = free_bytes(folder.path());
  ASSERT_GT(free, 0);
  StopRequests requests({.stop_file = {},
                         .max_hours = {},
                         .start = Clock::now(),
                         .disk = folder.path(),
                         .bytes_needed = free / 4});
  EXPECT_FALSE(requests.poll());
  requests.set_bytes_needed(free * 4);
  ASSERT_TRUE(requests.poll());
  EXPECT_EQ(requests.poll()->reason, StopReason::kLowDisk);
  EXPECT_THAT(requests.poll()->text, HasSubstr("GiB"));
  EXPECT_THAT(failure([&] { free_bytes(folder.path() / "none"); }), HasSubstr("74: "));
}

}  // namespace
}  // namespace latentcast::test
