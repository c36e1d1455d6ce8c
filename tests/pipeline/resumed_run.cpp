#include "resumed_run.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "files.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;

constexpr size_t kClipSamples = 30720;  // 48 frames at 25 a second, 16 kHz
constexpr std::chrono::milliseconds kMoment(10);

/// What all tests of the program share.
const TemporaryFolder& shared() {
  static const TemporaryFolder folder;
  return folder;
}

/// What must not change in a finished file.
std::string fingerprint(const fs::path& file) {
  struct stat info {};
  stat(file.c_str(), &info);
  return std::to_string(info.st_ino) + " " + std::to_string(info.st_mtim.tv_sec) + "." +
         std::to_string(info.st_mtim.tv_nsec) + " " + read_bytes(file);
}

}  // namespace

fs::path long_speech() {
  static const fs::path file = [] {
    fs::path path = shared().path() / "speech.wav";
    write_wav(path, repeated(read_wav(data_folder() / "tiny" / "speech.wav"), kClips * kClipSamples));
    return path;
  }();
  return file;
}

const std::string& undisturbed(int clips) {
  static std::map<int, std::string> videos;
  std::string& video = videos[clips];
  if (video.empty()) {
    ResumedRun run;
    const ProgramResult result = run.run({.clips = clips});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    video = read_bytes(run.video());
  }
  return video;
}

ResumedRun::~ResumedRun() {
  for (const pid_t pid : processes()) {
    kill(pid, SIGKILL);
  }
}

fs::path ResumedRun::checkpoint(int position) const {
  const std::string number = std::to_string(position);
  return run_dir() / "checkpoint" / ("clip-" + std::string(6 - number.size(), '0') + number);
}

std::vector<int> ResumedRun::checkpoints() const {
  std::vector<int> positions;
  for (int position = kClips; position > 0; --position) {
    if (fs::exists(checkpoint(position))) positions.push_back(position);
  }
  return positions;
}

std::vector<std::string> ResumedRun::command(const Launch& launch) const {
  std::vector<std::string> all = {"env", "LATENTCAST_PAUSE_LOG=" + pause_log().string()};
  const auto add = [&](const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  if (!launch.pause_at.empty()) {
    add({"LATENTCAST_PAUSE_AT=" + launch.pause_at});
  }
  if (launch.ranks > 1) {
    add({"mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n",
         std::to_string(launch.ranks)});
  }
  add({std::getenv("LATENTCAST_PROGRAM")});
  add(case_arguments("tiny", run_dir()));
  add({"--audio", long_speech(), "--threads", "1", "--checkpoint_clips", "1", "--num_clip",
       std::to_string(launch.clips)});
  add(launch.options);
  return all;
}

ProgramResult ResumedRun::run(const Launch& launch) {
  fs::remove(pause_log());
  RunningProgram program(command(launch));
  return program.wait(kLimit);
}

void ResumedRun::finish(const Launch& launch, const std::string& says) {
  const ProgramResult result = run(launch);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out + result.err, testing::HasSubstr(says));
  if (result.exit_code == 0) {
    EXPECT_TRUE(read_bytes(video()) == undisturbed(launch.clips)) << "the video differs";
  }
}

bool ResumedRun::wait_until_paused(RunningProgram& program) const {
  const auto end = std::chrono::steady_clock::now() + kLimit;
  while (!fs::exists(pause_log()) || read_bytes(pause_log()).find("paused ") == std::string::npos) {
    if (program.wait(std::chrono::seconds(0)).exit_code != -1 || std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(kMoment);
  }
  return true;
}

std::unique_ptr<RunningProgram> ResumedRun::pause(const Launch& launch) {
  fs::remove(pause_log());
  fs::remove(pause_log().string() + ".go");
  auto program = std::make_unique<RunningProgram>(command(launch));
  if (wait_until_paused(*program)) return program;
  const ProgramResult result = program->wait(std::chrono::seconds(0));
  ADD_FAILURE() << launch.pause_at << " was never reached; exit code " << result.exit_code << "\n"
                << result.err;
  return nullptr;
}

void ResumedRun::go_on() const { write_bytes(pause_log().string() + ".go", ""); }

ProgramResult ResumedRun::signalled(const Launch& launch, int number, const std::vector<size_t>& ranks) {
  const std::unique_ptr<RunningProgram> program = pause(launch);
  if (!program) return {};
  const std::vector<pid_t> all = processes();
  EXPECT_EQ(all.size(), static_cast<size_t>(launch.ranks));
  for (size_t i = 0; i < all.size(); ++i) {
    if (ranks.empty() || std::find(ranks.begin(), ranks.end(), i) != ranks.end()) {
      kill(all[i], number);
    }
  }
  go_on();
  const ProgramResult result = program->wait(kLimit);
  expect_nothing_left();
  return result;
}

void ResumedRun::stop_all_but_last(const Way& way) {
  for (size_t i = 0; i + 1 < way.launches.size(); ++i) {
    Launch launch = way.launches[i];
    launch.pause_at = "computing:5";
    const ProgramResult result = signalled(launch, SIGTERM, {0});
    ASSERT_EQ(result.exit_code, kStopped) << result.err;
    ASSERT_FALSE(checkpoints().empty());
    EXPECT_GE(checkpoints().front(), static_cast<int>(i) + 1);
  }
}

bool ResumedRun::killed(const Launch& launch, bool all, size_t rank) {
  const auto before = finished_segments();
  const std::unique_ptr<RunningProgram> program = pause(launch);
  if (!program) return false;
  const std::vector<pid_t> ranks = processes();
  EXPECT_EQ(ranks.size(), static_cast<size_t>(launch.ranks));
  if (ranks.empty()) return false;
  if (all) {
    program->signal(SIGKILL);
    for (const pid_t pid : ranks) kill(pid, SIGKILL);
  } else {
    kill(ranks[rank % ranks.size()], SIGKILL);
  }
  const ProgramResult result = program->wait(kLimit);
  EXPECT_EQ(result.exit_code, 128 + SIGKILL) << result.err;
  expect_nothing_left();
  expect_untouched(before);
  return true;
}

std::vector<pid_t> ResumedRun::processes() const {
  const fs::path program = fs::canonical(std::getenv("LATENTCAST_PROGRAM"));
  std::vector<pid_t> found;
  for (const pid_t pid : processes_with(run_dir())) {
    std::error_code gone;
    if (fs::read_symlink("/proc/" + std::to_string(pid) + "/exe", gone) == program && !gone) {
      found.push_back(pid);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

void ResumedRun::expect_nothing_left() const {
  const auto end = std::chrono::steady_clock::now() + kLimit;
  while (!processes().empty()) {
    if (std::chrono::steady_clock::now() > end) {
      ADD_FAILURE() << "processes are left";
      return;
    }
    std::this_thread::sleep_for(kMoment);
  }
}

std::map<std::string, std::string> ResumedRun::finished_segments() const {
  std::map<std::string, std::string> found;
  const fs::path folder = run_dir() / "segments";
  if (fs::exists(folder / "manifest.json")) {
    const auto manifest = nlohmann::json::parse(read_bytes(folder / "manifest.json"));
    for (const auto& segment : manifest.at("segments")) {
      const std::string file = segment.at("file");
      found[file] = fingerprint(folder / file);
    }
  }
  return found;
}

void ResumedRun::expect_untouched(const std::map<std::string, std::string>& before) const {
  for (const auto& [file, was] : before) {
    EXPECT_TRUE(fingerprint(run_dir() / "segments" / file) == was) << file << " was finished and has changed";
  }
}

}  // namespace latentcast::test
