// What the demo's trained weights promise: a killed render continues to the same bytes, and both ways of
// decoding give the same picture.

#include <chrono>
#include <cmath>
#include <csignal>
#include <thread>

#include "files.h"
#include "program.h"
#include "running_program.h"
#include <gtest/gtest.h>

#include "latentcast/weights/safetensors.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kLimit(900);

std::vector<std::string> arguments(const fs::path& run_dir, const std::vector<std::string>& more) {
  std::vector<std::string> all = {"render",
                                  "--config",
                                  data_folder() / ".." / ".." / "configs" / "demo" / "job.yaml",
                                  "--device",
                                  "cpu",
                                  "--threads",
                                  "1",
                                  "--num_clip",
                                  "3",
                                  "--infer_frames",
                                  "12",
                                  "--run_dir",
                                  run_dir};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

/// Of the decoded frames of two traces, before they are encoded; infinite if they are the same.
double psnr(const fs::path& a, const fs::path& b) {
  const TensorArchive first = open_safetensors(a), second = open_safetensors(b);
  const TensorView &x = *first.find("frames"), &y = *second.find("frames");
  EXPECT_EQ(x.shape, y.shape);
  double sum = 0;
  for (size_t i = 0; i < x.bytes.size(); ++i) {
    const double difference =
        static_cast<double>(static_cast<uint8_t>(x.bytes[i])) - static_cast<uint8_t>(y.bytes[i]);
    sum += difference * difference;
  }
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(x.bytes.size()) / sum);
}

TEST(Demo, KilledAfterAClipEndsInTheSameBytes) {
  const TemporaryFolder folder;
  const ProgramResult whole = run_latentcast(arguments(folder.path() / "whole", {}));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;

  const fs::path run_dir = folder.path() / "killed";
  const std::vector<std::string> again = arguments(run_dir, {"--checkpoint_clips", "1"});
  std::vector<std::string> command = {std::getenv("LATENTCAST_PROGRAM")};
  command.insert(command.end(), again.begin(), again.end());
  {
    RunningProgram program(command);
    const auto end = std::chrono::steady_clock::now() + kLimit;
    while (!fs::exists(run_dir / "checkpoint" / "clip-000001") && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    program.signal(SIGKILL);
    EXPECT_EQ(program.wait(kLimit).exit_code, 128 + SIGKILL) << "it was to be killed before its last clip";
  }
  EXPECT_FALSE(fs::exists(run_dir / "video.mp4"));
  const ProgramResult rest = run_latentcast(again);
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_NE((rest.out + rest.err).find("continues after clip 0"), std::string::npos) << rest.out << rest.err;
  EXPECT_TRUE(read_bytes(folder.path() / "whole" / "video.mp4") == read_bytes(run_dir / "video.mp4"));
}

TEST(Demo, OnlineAndBatchDecodingAgree) {
  const TemporaryFolder folder;
  for (const std::string mode : {"online", "batch"}) {
    const ProgramResult result = run_latentcast(arguments(
        folder.path() / mode,
        {"--decode", mode, "--trace", folder.path() / (mode + ".safetensors"), "--trace_blocks", "1"}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_GE(psnr(folder.path() / "online.safetensors", folder.path() / "batch.safetensors"), 60);
}

}  // namespace
}  // namespace latentcast::test
