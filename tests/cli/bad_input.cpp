#include "bad_input.h"

#include <algorithm>
#include <ostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace latentcast::test {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

/// What comes after "latentcast: error: ", or nothing.
std::string error_message(const std::string& err) {
  const std::string mark = "latentcast: error: ";
  const size_t at = err.rfind(mark);
  return at == std::string::npos ? std::string() : err.substr(at + mark.size());
}

std::vector<std::string> unfinished_files(const fs::path& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (entry.path().extension() == ".part") {
      found.push_back(entry.path());
    }
  }
  return found;
}

void expect_nothing_final(const TinyJob& job) {
  EXPECT_FALSE(fs::exists(job.run_dir() / "video.mp4"));
  for (const char* option : {"save_file", "trace"}) {
    if (job.options.contains(option)) {
      EXPECT_FALSE(fs::is_regular_file(job.options.at(option))) << option;
    }
  }
  EXPECT_THAT(unfinished_files(job.path("")), ::testing::IsEmpty());
}

}  // namespace

void PrintTo(const BadInput& bad, std::ostream* out) { *out << bad.name; }

TinyJob::TinyJob() {
  fs::copy(data_folder() / "tiny", root_.path(), fs::copy_options::recursive);
  options = {{"ckpt_dir", path("checkpoint")},
             {"image", path("portrait.png")},
             {"audio", path("speech.wav")},
             {"prompt", "Somebody talks."},
             {"size", "64*64"},
             {"base_seed", "1"},
             {"load_lora", "true"},
             {"device", "cpu"},
             {"threads", "1"},
             {"num_clip", "1"},
             {"infer_frames", "12"},
             {"sample_steps", "1"},
             {"run_dir", path("run")}};
}

std::vector<std::string> TinyJob::arguments() const {
  std::vector<std::string> args = {"render"};
  for (const auto& [name, value] : options) {
    args.push_back("--" + name + "=" + value);
  }
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

void expect_refused(const TinyJob& job, int exit_code, const std::vector<std::string>& says) {
  const ProgramResult result = run_latentcast(job.arguments());
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  const std::string message = error_message(result.err);
  for (const std::string& text : says) {
    EXPECT_THAT(message, HasSubstr(text)) << result.err;
  }
  EXPECT_THAT(result.err, Not(HasSubstr("terminate called")));
  EXPECT_THAT(result.err, Not(HasSubstr("Exception raised from"))) << "a LibTorch error reached the user";
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 1) << "a message is one line: " << message;
  expect_nothing_final(job);
}

}  // namespace latentcast::test
