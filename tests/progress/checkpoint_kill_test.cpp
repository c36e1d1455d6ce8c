// Killed between any two steps of writing a checkpoint: the older one is there, or the new one is whole.

#include <csignal>
#include <thread>

#include "checkpoint_test_support.h"

namespace latentcast::test {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

struct Moment {
  const char *name, *at;
  int64_t expected;  ///< position of the newest checkpoint afterwards
};

void PrintTo(const Moment& moment, std::ostream* out) { *out << moment.at; }

class Killed : public ::testing::TestWithParam<Moment> {};

TEST_P(Killed, LeavesAWholeCheckpoint) {
  const TemporaryFolder folder;
  const RunPaths paths(folder.path() / "run");
  const fs::path log = folder.path() / "kills";
  write_checkpoint(paths, 1);
  write_checkpoint(paths, 2);
  const pid_t child = in_child([&] {
    setenv("LATENTCAST_PAUSE_LOG", log.c_str(), 1);
    setenv("LATENTCAST_PAUSE_AT", GetParam().at, 1);
    write_checkpoint(paths, 3);
  });
  while (!fs::exists(log) || read_bytes(log).find("paused") == std::string::npos) {
    ASSERT_EQ(waitpid(child, nullptr, WNOHANG), 0) << "the moment never came";
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(child, SIGKILL);
  ASSERT_EQ(wait_for(child), 128 + SIGKILL);

  const FoundCheckpoint found = find_checkpoint(paths, "the job");
  EXPECT_EQ(found.position, GetParam().expected);
  EXPECT_TRUE(found.notes.empty());
  EXPECT_EQ(failure([&] { read_checkpoint(paths, GetParam().expected); }), "nothing");
  write_checkpoint(paths, 3);
  EXPECT_EQ(failure([&] { read_checkpoint(paths, 3); }), "nothing");
  EXPECT_THAT(checkpoint_positions(paths), ::testing::ElementsAre(3, 2));
  for (const auto& entry : fs::directory_iterator(paths.checkpoints())) {
    EXPECT_TRUE(entry.path().extension().empty()) << entry.path();
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Killed,
                         ::testing::Values(Moment{"Writing", "checkpoint-writing:1", 2},
                                           Moment{"WritingLater", "checkpoint-writing:9", 2},
                                           Moment{"BetweenFiles", "checkpoint-file-closed:3", 2},
                                           Moment{"BetweenManifestAndName", "checkpoint-written", 2},
                                           Moment{"BeforeOldOnesGo", "checkpoint-renamed", 3}),
                         [](const auto& info) { return info.param.name; });

TEST(Killed, AtRandomMoments) {
  const TemporaryFolder folder;
  const RunPaths paths(folder.path() / "run");
  write_checkpoint(paths, 1);
  int64_t newest = 1;
  for (int round = 0; round < 30; ++round) {
    const pid_t child = in_child([&] {
      for (int64_t position = newest + 1;; ++position) write_checkpoint(paths, position);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(3 + 7 * (round % 10)));
    kill(child, SIGKILL);
    ASSERT_EQ(wait_for(child), 128 + SIGKILL);
    const FoundCheckpoint found = find_checkpoint(paths, "the job");
    ASSERT_TRUE(found.position);
    EXPECT_TRUE(found.notes.empty());
    EXPECT_GE(*found.position, newest) << "nothing finished is lost";
    newest = *found.position;
    ASSERT_EQ(failure([&] { read_checkpoint(paths, newest); }), "nothing") << "round " << round;
  }
}

}  // namespace
}  // namespace latentcast::test
