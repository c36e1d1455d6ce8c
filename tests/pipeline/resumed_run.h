#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "program.h"
#include "running_program.h"
#include <gtest/gtest.h>

namespace latentcast::test {

constexpr int kClips = 12;

/// Exit code of a run that was asked to stop.
constexpr int kStopped = 75;

/// Of a wait; whoever reaches it has failed.
constexpr std::chrono::seconds kLimit(300);

/// How the program is started once.
struct Launch {
  int ranks = 1;
  std::vector<std::string> options = {};
  std::string pause_at = {};  ///< NAME or NAME:N, see pause_point()
  int clips = kClips;
};

/// Launches one after the other in one folder, for tests with parameters.
struct Way {
  const char* name;
  std::vector<Launch> launches;  ///< each but the last is stopped in its first clip
};
inline std::string name_of(const testing::TestParamInfo<Way>& info) { return info.param.name; }

/// The tiny case with its speech repeated to 12 clips, in a folder of its own that several runs build on. A
/// checkpoint follows every clip.
class ResumedRun {
 public:
  ResumedRun() = default;
  /// In a folder that somebody else owns.
  explicit ResumedRun(const std::filesystem::path& run_dir) : run_dir_(run_dir) {}
  ~ResumedRun();
  ResumedRun(const ResumedRun&) = delete;
  ResumedRun& operator=(const ResumedRun&) = delete;

  const std::filesystem::path& run_dir() const { return run_dir_; }
  std::filesystem::path video() const { return run_dir() / "video.mp4"; }
  std::filesystem::path checkpoint(int position) const;
  /// Positions of the finished ones, the newest first.
  std::vector<int> checkpoints() const;

  std::vector<std::string> command(const Launch& launch) const;
  /// Runs until it ends by itself.
  ProgramResult run(const Launch& launch);
  /// Runs and expects that it ends well, with the bytes of a run that nothing disturbed, and that what it
  /// says has `says`.
  void finish(const Launch& launch, const std::string& says = {});

  /// Starts the program and waits until one of its processes pauses; null if none did.
  std::unique_ptr<RunningProgram> pause(const Launch& launch);
  /// False if it ends before.
  bool wait_until_paused(RunningProgram& program) const;
  /// What paused goes on.
  void go_on() const;
  /// Pauses, is sent a signal on these ranks' processes (none: all), goes on to its end.
  ProgramResult signalled(const Launch& launch, int number, const std::vector<size_t>& ranks = {});
  /// All launches but the last, each with a checkpoint at the end of its first clip.
  void stop_all_but_last(const Way& way);
  /// Pauses and is killed: one rank, or all of them and mpirun. Returns whether it was where it should.
  bool killed(const Launch& launch, bool all, size_t rank);

  /// The program's own processes in this folder, in no order that matters.
  std::vector<pid_t> processes() const;
  void expect_nothing_left() const;

  /// Segments that the manifest lists, each with time, inode and bytes.
  std::map<std::string, std::string> finished_segments() const;
  /// Those of an earlier moment are still there, untouched.
  void expect_untouched(const std::map<std::string, std::string>& before) const;

  std::filesystem::path pause_log() const { return folder_.path() / "pauses"; }

 private:
  TemporaryFolder folder_;
  std::filesystem::path run_dir_ = folder_.path() / "run";
};

/// The sound of kClips clips.
std::filesystem::path long_speech();
/// The video of so many clips from one rank that nothing disturbed.
const std::string& undisturbed(int clips = kClips);

}  // namespace latentcast::test
