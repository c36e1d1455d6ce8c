// Four ranks, one of which fails in every way and every role: all end, in time, and one message says why.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <thread>

#include "files.h"
#include "running_program.h"
#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::chrono::seconds kTimeout(8);                                  // of the runs, --timeout
constexpr std::chrono::seconds kGone = kTimeout + std::chrono::seconds(10);  // after the fault: the promise
constexpr std::chrono::seconds kLimit(240);                                  // of a test: it has failed
constexpr int kRanks = 4;
constexpr int kClips = 4;
constexpr int64_t kClipSamples = 30720;  // 48 frames at 25 a second, 16 kHz

/// Ranks 0 to 2 are stages with sharded weights, rank 0 encodes as well, rank 3 decodes.
const std::vector<std::string> kSharded = {"--num_gpus_dit", "3", "--decoder", "rank", "--shard", "on"};
/// All are stages; rank 3, the last, decodes beside.
const std::vector<std::string> kStream = {"--decoder", "stream"};

struct Fault {
  int rank;
  std::string how, place;
};

void PrintTo(const Fault& fault, std::ostream* out) {
  *out << fault.how << " at '" << fault.place << "' on rank " << fault.rank;
}

class Failures : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = new TemporaryFolder;
    const std::vector<int16_t> speech = read_wav(data_folder() / "tiny" / "speech.wav");
    write_wav(sound(), repeated(speech, static_cast<size_t>(kClips * kClipSamples)));
    const ProgramResult result = run_latentcast(arguments(shared_->path() / "undisturbed"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  static void TearDownTestSuite() { delete shared_; }

  static fs::path sound() { return shared_->path() / "speech.wav"; }

  static std::vector<std::string> arguments(const fs::path& run_dir) {
    std::vector<std::string> args = case_arguments("tiny", run_dir);
    args.insert(args.end(), {"--audio", sound(), "--num_clip", std::to_string(kClips), "--threads", "1",
                             "--timeout", std::to_string(kTimeout.count())});
    return args;
  }

  fs::path run_dir() const { return folder_.path() / "run"; }
  fs::path mark() const { return folder_.path() / "struck"; }

  std::vector<std::string> launcher(const std::optional<Fault>& fault) const {
    std::vector<std::string> command = {"mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to",
                                        "none"};
    if (fault) {
      command.insert(command.end(),
                     {"-x", "LATENTCAST_TEST_FAULT=rank=" + std::to_string(fault->rank) +
                                ",do=" + fault->how + ",mark=" + mark().string() + ",at=" + fault->place});
    }
    return command;
  }

  static void add_ranks(std::vector<std::string>& command, int count, const std::vector<std::string>& args) {
    command.insert(command.end(), {"-n", std::to_string(count), std::getenv("LATENTCAST_PROGRAM")});
    command.insert(command.end(), args.begin(), args.end());
  }

  std::vector<std::string> command(const std::optional<Fault>& fault,
                                   const std::vector<std::string>& options) const {
    std::vector<std::string> all = launcher(fault), args = arguments(run_dir());
    args.insert(args.end(), options.begin(), options.end());
    add_ranks(all, kRanks, args);
    return all;
  }

  /// Runs with the fault till the end, which must come in time.
  ProgramResult run(const Fault& fault, const std::vector<std::string>& options = kSharded) {
    RunningProgram program(command(fault, options));
    const ProgramResult result = program.wait(kLimit);
    const auto end = fs::file_time_type::clock::now();
    EXPECT_TRUE(fs::exists(mark())) << "the fault's place was never reached\n" << result.err;
    if (fs::exists(mark())) {
      EXPECT_LT(end - fs::last_write_time(mark()), kGone) << result.err;
    }
    expect_nothing_left();
    return result;
  }

  void expect_nothing_left() const {
    std::vector<pid_t> left = processes_with(run_dir());
    for (int i = 0; i < 100 && !left.empty(); ++i) {  // the system may take a moment to bury them
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      left = processes_with(run_dir());
    }
    EXPECT_THAT(left, testing::IsEmpty());
    for (const pid_t pid : left) {
      kill(pid, SIGKILL);
    }
  }

  /// Segments that were closed are those of the undisturbed run.
  void expect_segments(size_t at_least) const {
    size_t found = 0;
    for (const auto& entry : fs::directory_iterator(run_dir() / "segments")) {
      if (entry.path().extension() == ".ts") {
        const fs::path wanted = shared_->path() / "undisturbed" / "segments" / entry.path().filename();
        EXPECT_TRUE(read_bytes(entry.path()) == read_bytes(wanted)) << entry.path().filename();
        ++found;
      }
    }
    EXPECT_GE(found, at_least);
  }

  const TemporaryFolder folder_;
  static TemporaryFolder* shared_;
};

TemporaryFolder* Failures::shared_ = nullptr;

std::vector<std::string> own_messages(const ProgramResult& result) {
  std::vector<std::string> messages;
  std::istringstream lines(result.err);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("latentcast: error: ") != std::string::npos) {
      messages.push_back(line.substr(line.find("latentcast: error: ")));
    }
  }
  return messages;
}

void expect_named_once(const ProgramResult& result, int rank) {
  const std::vector<std::string> messages = own_messages(result);
  ASSERT_EQ(messages.size(), 1u) << result.err;
  EXPECT_THAT(messages.front(), StartsWith("latentcast: error: rank " + std::to_string(rank) + " ("));
}

/// Late enough for two closed segments.
std::string late_place(int rank) { return rank == 3 ? "decoding block 13" : "block 13,"; }

class EachRank : public Failures, public testing::WithParamInterface<int> {};

TEST_P(EachRank, Killed) {
  const int rank = GetParam();
  const ProgramResult result = run({rank, "kill", late_place(rank)});
  EXPECT_EQ(result.exit_code, 128 + SIGKILL) << result.err;
  EXPECT_THAT(own_messages(result), testing::IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("process rank " + std::to_string(rank) + " with PID"));
  expect_segments(2);
}

TEST_P(EachRank, Stopped) {
  const int rank = GetParam();
  const ProgramResult result = run({rank, "stop", late_place(rank)});
  EXPECT_EQ(result.exit_code, 70) << result.err;
  expect_named_once(result, rank);
  EXPECT_THAT(result.err, HasSubstr("has not been heard of for "));
  expect_segments(2);
}

TEST_P(EachRank, HangsWhileItsWatchdogLives) {
  const int rank = GetParam();
  const ProgramResult result = run({rank, "hang", late_place(rank)});
  EXPECT_EQ(result.exit_code, 70) << result.err;
  expect_named_once(result, rank);
  EXPECT_THAT(result.err, HasSubstr("has made no progress for "));
  EXPECT_THAT(result.err, HasSubstr(" at " + late_place(rank)));
  expect_segments(2);
}

INSTANTIATE_TEST_SUITE_P(All, EachRank, testing::Range(0, kRanks));

class EachRole : public Failures, public testing::WithParamInterface<std::pair<const char*, Fault>> {};

TEST_P(EachRole, Throws) {
  const Fault& fault = GetParam().second;
  const ProgramResult result = run(fault);
  EXPECT_EQ(result.exit_code, 70) << result.err;
  expect_named_once(result, fault.rank);
  EXPECT_THAT(result.err, HasSubstr("a fault for tests (at " + fault.place));
  EXPECT_THAT(result.err, testing::ContainsRegex(" for [0-9.]+ s\\)"));
}

INSTANTIATE_TEST_SUITE_P(
    All, EachRole,
    testing::Values(std::pair("TextEncoder", Fault{0, "throw", "encoding the prompt"}),
                    std::pair("SoundTrack", Fault{0, "throw", "encoding the sound track"}),
                    std::pair("Loader", Fault{1, "throw", "loading weights, reading blocks.1."}),
                    std::pair("LoaderOfTheDecoder", Fault{3, "throw", "loading weights, reading decoder."}),
                    std::pair("ConditionPass", Fault{0, "throw", "condition of clip 1"}),
                    std::pair("FirstStage", Fault{0, "throw", "block 5, timestep 0"}),
                    std::pair("MiddleStage", Fault{1, "throw", "block 5, timestep 2, layer 1"}),
                    std::pair("LastStage", Fault{2, "throw", "block 5, timestep 3"}),
                    std::pair("Decoder", Fault{3, "throw", "decoding block 5"}),
                    // A clip's last block's are written at once, another's perhaps with the next block's.
                    std::pair("Writer", Fault{3, "throw", "decoding block 7, writing its frames"}),
                    std::pair("SegmentsEnd", Fault{3, "throw", "closing segment 1"}),
                    std::pair("Join", Fault{3, "throw", "joining the segments"})),
    [](const auto& info) { return info.param.first; });

TEST_F(Failures, TheDecoderBesideTheLastStageThrows) {
  const ProgramResult result = run({3, "throw", "decoding block 9"}, kStream);
  EXPECT_EQ(result.exit_code, 70) << result.err;
  expect_named_once(result, 3);
  expect_segments(1);
}

TEST_F(Failures, WeightsThatOneRankCannotRead) {
  const fs::path broken = folder_.path() / "checkpoint";
  fs::copy(data_folder() / "tiny" / "checkpoint", broken, fs::copy_options::recursive);
  const fs::path file = broken / "diffusion_pytorch_model-00002-of-00002.safetensors";
  fs::permissions(file, fs::perms::owner_all);
  fs::resize_file(file, fs::file_size(file) / 2);
  std::vector<std::string> good = case_arguments("tiny", run_dir()), bad = good, command = launcher({});
  good.insert(good.end(), {"--timeout", "60"});
  bad.insert(bad.end(), {"--timeout", "60", "--ckpt_dir", broken});
  add_ranks(command, 2, good);
  command.emplace_back(":");
  add_ranks(command, 1, bad);
  command.emplace_back(":");
  add_ranks(command, 1, good);

  RunningProgram program(command);
  const ProgramResult result = program.wait(std::chrono::seconds(50));  // it doesn't come to a timeout
  EXPECT_EQ(result.exit_code, 64) << result.err;
  expect_named_once(result, 2);
  EXPECT_THAT(result.err, HasSubstr(file.string()));
  expect_nothing_left();
}

TEST_F(Failures, TermWhileAPeerIsStoppedEndsAll) {
  const Fault fault{1, "stop", "block 5,"};
  std::vector<std::string> options = kSharded;
  options.insert(options.end(), {"--timeout", "600"});
  RunningProgram program(command(fault, options));
  const auto limit = std::chrono::steady_clock::now() + kLimit;
  while (!fs::exists(mark()) && std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ASSERT_TRUE(fs::exists(mark()));
  std::this_thread::sleep_for(std::chrono::seconds(1));
  program.signal(SIGTERM);
  const auto start = std::chrono::steady_clock::now();
  const ProgramResult result = program.wait(kLimit);
  EXPECT_LT(std::chrono::steady_clock::now() - start, kGone);
  EXPECT_NE(result.exit_code, 0);
  expect_nothing_left();
}

/// Rank 0 sleeps a second at each tensor that it reads, longer in all than --timeout; the others wait for it.
TEST_F(Failures, ASlowRankIsNone) {
  const auto start = fs::file_time_type::clock::now();
  RunningProgram program(command(Fault{0, "slow", "encoding the prompt, reading blocks."}, kSharded));
  const ProgramResult result = program.wait(kLimit);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  ASSERT_TRUE(fs::exists(mark()));
  EXPECT_GT(fs::last_write_time(mark()) - start, kTimeout) << "it wasn't slow enough for this test";
  expect_segments(kClips);
}

}  // namespace
}  // namespace latentcast::test
