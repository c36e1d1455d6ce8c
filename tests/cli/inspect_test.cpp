// latentcast inspect on a run that was killed, continued and damaged; and the playlist that goes with it.

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <thread>

#include "files.h"
#include "program.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace latentcast::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
namespace fs = std::filesystem;

/// What ffprobe counts in a playlist or video: frames of the picture, packets of the sound, complaints.
std::string played(const fs::path& file) {
  const ProgramResult result =
      run_program({"ffprobe", "-v", "warning", "-count_frames", "-show_entries",
                   "stream=codec_type,nb_read_frames", "-of", "csv=p=0", file.string()});
  std::istringstream lines(result.out);
  std::vector<std::string> unique;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && std::find(unique.begin(), unique.end(), line) == unique.end())
      unique.push_back(line);
  }
  std::string text = result.err;
  for (const std::string& line : unique) text += line + "\n";
  return text;
}

/// Runs on the tiny case, stopped by SIGTERM at a sure moment.
class Inspect : public ::testing::Test {
 protected:
  std::vector<std::string> render_arguments() const {
    std::vector<std::string> args = case_arguments("tiny", run);
    for (const char* more : {"--threads", "1", "--sample_steps", "1", "--infer_frames", frames_a_clip}) {
      args.emplace_back(more);
    }
    return args;
  }
  /// Starts a render, and stops it once it has listed a segment. Returns the clip that comes next.
  int64_t stopped() {
    const fs::path log = folder.path() / ("moments" + std::to_string(++runs_));
    const pid_t child = fork();
    if (child == 0) start(log);
    while (!fs::exists(log) || read_bytes(log).find("paused") == std::string::npos) {
      if (waitpid(child, nullptr, WNOHANG) != 0)
        throw std::runtime_error("the render ended before its moment");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_THAT(inspect().out, HasSubstr("in use      by host"));
    EXPECT_THAT(inspect().out, HasSubstr("process " + std::to_string(child) + ","));
    kill(child, SIGTERM);
    write_bytes(log.string() + ".go", "");
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 75);
    int64_t position = 0;
    for (const auto& entry : fs::directory_iterator(run / "checkpoint")) {
      position = std::max<int64_t>(position, std::stoi(entry.path().filename().string().substr(5)));
    }
    return position;
  }
  ProgramResult inspect(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> args = {"inspect", run.string()};
    args.insert(args.end(), more.begin(), more.end());
    return run_latentcast(args);
  }
  fs::path checkpoint(int64_t position) const {
    return run / "checkpoint" / ("clip-00000" + std::to_string(position));
  }
  std::string playlist() const { return read_bytes(run / "live.m3u8"); }

  TemporaryFolder folder;
  fs::path run = folder.path() / "run";
  const char* frames_a_clip = "12";

 private:
  [[noreturn]] void start(const fs::path& log) const {
    setenv("LATENTCAST_PAUSE_LOG", log.c_str(), 1);
    setenv("LATENTCAST_PAUSE_AT", "segment-listed", 1);
    std::vector<std::string> args = render_arguments();
    args.insert(args.begin(), std::getenv("LATENTCAST_PROGRAM"));
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(1);
  }
  int runs_ = 0;
};

TEST_F(Inspect, FollowsARunThatIsStoppedAndContinued) {
  const std::string position = std::to_string(stopped());
  const std::string frames = std::to_string(12 * std::stoi(position));
  const ProgramResult stop = inspect();
  EXPECT_EQ(stop.exit_code, 0) << stop.out << stop.err;
  EXPECT_THAT(stop.out,
              AllOf(HasSubstr("in use      no"), HasSubstr(position + " of 8, " + frames + " frames"),
                    HasSubstr(", verified"), HasSubstr("continues with clip " + position + ", exact"),
                    HasSubstr("the same command line continues with clip " + position + "\n")));
  const std::string before = playlist();
  EXPECT_THAT(before, Not(HasSubstr("ENDLIST"))) << "the run isn't over";
  // Where a player is that follows the run: as if it ended here, or the probe would wait for more.
  write_bytes(run / "so_far.m3u8", before + "#EXT-X-ENDLIST\n");
  EXPECT_THAT(played(run / "so_far.m3u8"), StartsWith("video," + frames + "\naudio,"));

  const ProgramResult again = run_latentcast(render_arguments());
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(playlist(), AllOf(StartsWith(before), HasSubstr("segments/000007.ts\n#EXT-X-ENDLIST\n")));
  // 3.72 s of sound at 16 kHz are 59 packets, the encoder's first one included.
  EXPECT_EQ(played(run / "live.m3u8"), "video,93\naudio,59\n");
  const ProgramResult finished = inspect();
  EXPECT_EQ(finished.exit_code, 0) << finished.out;
  EXPECT_THAT(finished.out, AllOf(HasSubstr("8 of 8, 93 frames"), HasSubstr("video.mp4, 93 frames, verified"),
                                  HasSubstr("nothing: the run is finished")));
}

void flip(const fs::path& file, size_t at) {
  std::string bytes = read_bytes(file);
  bytes.at(at) = static_cast<char>(bytes.at(at) ^ 0x40);
  write_bytes(file, bytes);
}

TEST_F(Inspect, SaysWhatIsDamagedAndWhatARunWouldDo) {
  const int64_t first = stopped(), second = stopped();
  ASSERT_GT(second, first);
  const fs::path decoder = checkpoint(second) / "decoder.h5";
  flip(decoder, fs::file_size(decoder) / 2);
  const ProgramResult fallback = inspect();
  EXPECT_EQ(fallback.exit_code, 64);
  EXPECT_THAT(fallback.out, AllOf(HasSubstr("decoder.h5 is damaged"),
                                  HasSubstr("continues with clip " + std::to_string(first) + "\n")));
  EXPECT_EQ(inspect({"--quick"}).exit_code, 0) << "sizes alone";
  const ProgramResult file = run_latentcast({"inspect", decoder.string()});
  EXPECT_EQ(file.exit_code, 64);
  EXPECT_THAT(file.out, HasSubstr("DAMAGED"));

  flip(run / "segments/000000.ts", 500);
  const ProgramResult refused = inspect();
  EXPECT_EQ(refused.exit_code, 64);
  EXPECT_THAT(refused.out,
              AllOf(HasSubstr("000000.ts has been changed"), HasSubstr("a run here is refused")));
  const ProgramResult run_refused = run_latentcast(render_arguments());
  EXPECT_EQ(run_refused.exit_code, 64);
  EXPECT_THAT(run_refused.err, HasSubstr("000000.ts has been changed"));
}

TEST_F(Inspect, ASoundTrackThatWasDamagedIsMadeAnew) {
  stopped();
  flip(run / "sound.aac", 20000);
  const ProgramResult again = run_latentcast(render_arguments());
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("sound.aac has been changed: it is encoded again"));
  const std::string continued = read_bytes(run / "video.mp4");
  run = folder.path() / "at once";
  ASSERT_EQ(run_latentcast(render_arguments()).exit_code, 0);
  EXPECT_TRUE(continued == read_bytes(run / "video.mp4")) << "the same bytes as of a run that was left alone";
}

TEST_F(Inspect, ListsAFile) {
  frames_a_clip = "24";
  const int64_t position = stopped();
  const ProgramResult conditions = run_latentcast({"inspect", (run / "conditions.h5").string()});
  EXPECT_EQ(conditions.exit_code, 0) << conditions.err;
  EXPECT_THAT(conditions.out,
              AllOf(HasSubstr("clips = 4\n"), HasSubstr("motion_latents  float32 [16, 19, 8, 8]"),
                    HasSubstr("audio/000000  float32 [1, 24, "), HasSubstr("verified")));
  const ProgramResult cache =
      run_latentcast({"inspect", (checkpoint(position) / "timestep-0.layers-0-1.h5").string()});
  EXPECT_EQ(cache.exit_code, 0) << cache.err;
  EXPECT_THAT(cache.out, HasSubstr("layer-001/value  float32 ["));
}

TEST(InspectNothing, IsRefused) {
  const TemporaryFolder folder;
  const auto refusal = [&](const fs::path& path) {
    const ProgramResult result = run_latentcast({"inspect", path.string()});
    EXPECT_EQ(result.exit_code, 64);
    return result.err;
  };
  EXPECT_THAT(refusal(folder.path() / "none"), HasSubstr("there is no file or folder"));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("no job.yaml"));
  write_bytes(folder.path() / "text.h5", "no HDF5");
  EXPECT_THAT(refusal(folder.path() / "text.h5"), HasSubstr("text.h5 is damaged"));
}

}  // namespace
}  // namespace latentcast::test
