// Disks that fail under a render: a message, exit code 74, and once the cause is gone the run goes on to the
// same bytes.

#include <cerrno>
#include <csignal>

#include "files.h"
#include "resumed_run.h"
#include <gmock/gmock.h>
#include <sys/mount.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kFewClips = 3;

/// The environment in which one call fails (tests/support/disk_fault.cpp), for as long as the object lives.
class DiskFault {
 public:
  DiskFault(const std::string& call, int number, int error, const fs::path& folder)
      : log_(log_folder_.path() / "log") {
    setenv("LD_PRELOAD", LATENTCAST_DISK_FAULT_LIBRARY, 1);
    setenv(
        "LATENTCAST_DISK_FAULT",
        (call + " " + std::to_string(number) + " " + std::to_string(error) + " " + folder.string()).c_str(),
        1);
    setenv("LATENTCAST_DISK_FAULT_LOG", log_.c_str(), 1);
  }
  ~DiskFault() {
    unsetenv("LD_PRELOAD");
    unsetenv("LATENTCAST_DISK_FAULT");
    unsetenv("LATENTCAST_DISK_FAULT_LOG");
  }
  DiskFault(const DiskFault&) = delete;
  DiskFault& operator=(const DiskFault&) = delete;

  /// The file that it hit; empty if it has hit none.
  std::string struck() const {
    if (!fs::exists(log_)) return "";
    const std::string lines = read_bytes(log_);
    return lines.substr(0, lines.find('\n'));
  }

 private:
  TemporaryFolder log_folder_;
  fs::path log_;
};

/// Files without which a render goes on: what is in the lock serves messages only.
bool is_dispensable(const std::string& file) {
  return file.find("/log/") != std::string::npos || file.ends_with("telemetry.csv") ||
         file.ends_with("/lock");
}

struct Call {
  const char* name;
  std::vector<int> numbers;
};

class FailingCall : public testing::TestWithParam<Call> {};

TEST_P(FailingCall, EndsWith74AndTheRunGoesOnAfterwards) {
  int hits = 0;
  std::string text;
  for (const int number : GetParam().numbers) {
    SCOPED_TRACE(number);
    ResumedRun run;
    {
      const DiskFault fault(GetParam().name, number, EIO, run.run_dir());
      const ProgramResult result = run.run({.clips = kFewClips});
      const std::string file = fault.struck();
      ASSERT_FALSE(file.empty()) << "the run has fewer of these calls";
      SCOPED_TRACE(file);
      if (is_dispensable(file)) {
        EXPECT_EQ(result.exit_code, 0) << result.err;
        continue;
      }
      ++hits;
      EXPECT_EQ(result.exit_code, 74) << result.err;
      EXPECT_THAT(result.err, AllOf(HasSubstr(run.run_dir().string()), HasSubstr("Input/output error")));
    }
    const auto before = run.finished_segments();
    run.finish({.clips = kFewClips});
    run.expect_untouched(before);
  }
  EXPECT_GT(hits, 1);
}

// The numbers reach from the run's first file to its last ones.
INSTANTIATE_TEST_SUITE_P(Of, FailingCall,
                         testing::Values(Call{"write", {1, 2, 12, 25, 40}}, Call{"pwrite", {1, 9, 30, 70}},
                                         Call{"fsync", {1, 3, 9, 16, 30}}, Call{"rename", {1, 3, 7, 12, 16}}),
                         [](const auto& info) { return info.param.name; });

TEST(FailingCall, OnOneOfSeveralRanksEndsAll) {
  ResumedRun run;
  const Launch launch{.ranks = 3, .clips = kFewClips};
  {
    // The first file of its own that rank 1 makes durable is one of a checkpoint.
    const DiskFault fault("fsync", 1, EIO, run.run_dir() / "checkpoint");
    const ProgramResult result = run.run(launch);
    EXPECT_EQ(result.exit_code, 74) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("checkpoint"), HasSubstr("Input/output error")));
  }
  run.finish(launch);
}

TEST(ShortWrites, AreCompleted) {
  ResumedRun run;
  {
    const DiskFault fault("short", 1, 0, run.run_dir());
    run.finish({.clips = kFewClips});
    EXPECT_NE(fault.struck(), "");
  }
  ResumedRun stopped;
  {
    const DiskFault fault("short", 1, 0, stopped.run_dir());
    EXPECT_EQ(stopped.signalled({.pause_at = "computing:5", .clips = kFewClips}, SIGTERM).exit_code, 75);
  }
  stopped.finish({.clips = kFewClips}, "continues after clip 0");
}

TEST(VanishedFolder, EndsWith74AndTheRunGoesOnWhenItIsBack) {
  for (const char* moment : {"computing:70", "checkpoint-writing", "segment-writing:60"}) {
    SCOPED_TRACE(moment);
    ResumedRun run;
    const auto program = run.pause({.pause_at = moment, .clips = kFewClips});
    ASSERT_TRUE(program);
    const fs::path away = run.run_dir().string() + ".away";
    fs::rename(run.run_dir(), away);
    run.go_on();
    const ProgramResult result = program->wait(kLimit);
    EXPECT_EQ(result.exit_code, 74) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr(run.run_dir().string()), HasSubstr("No such file or directory")));
    EXPECT_FALSE(fs::exists(run.run_dir())) << "nobody makes half of it anew";
    fs::rename(away, run.run_dir());
    run.finish({.clips = kFewClips});
  }
}

/// From now on whoever opens something in the folder finds it on a disk that can't be written to.
class ReadOnly {
 public:
  explicit ReadOnly(const fs::path& folder) : folder_(folder) {
    bound_ = mount(folder.c_str(), folder.c_str(), nullptr, MS_BIND, nullptr) == 0;
    done_ = bound_ && mount(nullptr, folder.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0;
  }
  ~ReadOnly() {
    if (bound_) umount2(folder_.c_str(), MNT_DETACH);
  }
  ReadOnly(const ReadOnly&) = delete;
  ReadOnly& operator=(const ReadOnly&) = delete;
  bool done() const { return done_; }

 private:
  fs::path folder_;
  bool bound_ = false, done_ = false;
};

TEST(ReadOnlyDisk, EndsWith74AndTheRunGoesOnOnceItCanBeWrittenTo) {
  for (const char* moment : {"computing:70", "checkpoint-writing"}) {
    SCOPED_TRACE(moment);
    ResumedRun run;
    const auto program = run.pause({.pause_at = moment, .clips = kFewClips});
    ASSERT_TRUE(program);
    {
      const ReadOnly disk(run.run_dir());
      if (!disk.done()) GTEST_SKIP() << "mounting is refused here";
      run.go_on();
      const ProgramResult result = program->wait(kLimit);
      EXPECT_EQ(result.exit_code, 74) << result.err;
      EXPECT_THAT(result.err, AllOf(HasSubstr(run.run_dir().string()), HasSubstr("Read-only file system")));
      const ProgramResult again = run.run({.clips = kFewClips});
      EXPECT_EQ(again.exit_code, 74) << again.err;
      EXPECT_THAT(again.err, HasSubstr("Read-only file system"));
    }
    run.finish({.clips = kFewClips});
  }
}

}  // namespace
}  // namespace latentcast::test
