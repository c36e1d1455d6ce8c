// Every stage against what the public pipeline gave (tests/data/cases), through the program's own --trace.

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "program.h"
#include "trace_compare.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;

constexpr double kLimit = 2e-5;  // of a tensor's largest value

TraceDifference render_and_compare(const std::string& name, std::vector<std::string> args,
                                   const fs::path& folder) {
  const fs::path trace = folder / "trace.safetensors";
  args.insert(args.end(), {"--trace", trace.string()});
  const ProgramResult result = run_latentcast(args);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return compare_trace(data_folder() / "cases" / name / "expected.safetensors", trace);
}

class Parity : public testing::TestWithParam<std::string> {};

TEST_P(Parity, EveryTensorOfTheCase) {
  const TemporaryFolder folder;
  const TraceDifference difference =
      render_and_compare(GetParam(), case_arguments(GetParam(), folder.path() / "run"), folder.path());
  for (const auto& [name, relative] : difference.relative) {
    std::printf("%-36s %.1e\n", name.c_str(), relative);
    EXPECT_LE(relative, kLimit) << name;
  }
  std::printf("frames %d of 255, their means %.1e\n", difference.frames, difference.frame_mean);
  EXPECT_THAT(difference.wrong, testing::IsEmpty());
  EXPECT_LE(difference.frames, 1);
  EXPECT_LE(difference.frame_mean, 0.01);
  EXPECT_GT(difference.relative.size(), 40u);
}

INSTANTIATE_TEST_SUITE_P(Cases, Parity, testing::Values("landscape", "portrait", "duo"),
                         [](const auto& info) { return info.param; });

/// Adds to the float32 in the middle of a tensor of the first shard.
void change_one_weight(const fs::path& checkpoint, const std::string& tensor) {
  const fs::path file = checkpoint / "diffusion_pytorch_model-00001-of-00002.safetensors";
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  uint64_t header = 0;
  stream.read(reinterpret_cast<char*>(&header), 8);
  std::string text(header, ' ');
  stream.read(text.data(), static_cast<std::streamsize>(header));
  const size_t entry = text.find("\"" + tensor + "\"");
  ASSERT_NE(entry, std::string::npos) << tensor;
  const size_t offsets = text.find("\"data_offsets\":[", entry) + 16;
  const uint64_t begin = std::stoull(text.substr(offsets));
  const auto place = static_cast<std::streamoff>(8 + header + begin + 4 * 37);
  float value = 0;
  stream.seekg(place);
  stream.read(reinterpret_cast<char*>(&value), 4);
  value += 0.05f;
  stream.seekp(place);
  stream.write(reinterpret_cast<const char*>(&value), 4);
}

TEST(Parity, FailsWithOneWeightChanged) {
  const TemporaryFolder folder;
  const fs::path checkpoint = folder.path() / "checkpoint";
  fs::copy(data_folder() / "cases" / "landscape" / "checkpoint", checkpoint, fs::copy_options::recursive);
  change_one_weight(checkpoint, "blocks.0.ffn.0.weight");
  std::vector<std::string> args = case_arguments("landscape", folder.path() / "run");
  *(std::find(args.begin(), args.end(), "--ckpt_dir") + 1) = checkpoint.string();
  *(std::find(args.begin(), args.end(), "--num_clip") + 1) = "1";
  const TraceDifference difference = render_and_compare("landscape", args, folder.path());
  EXPECT_GT(difference.relative.at("rank0.step0.velocity"), kLimit);
  EXPECT_GT(difference.relative.at("block0.latents"), kLimit);
  EXPECT_LE(difference.relative.at("text_embedding"), kLimit) << "a stage before the change must not differ";
}

}  // namespace
}  // namespace latentcast::test
