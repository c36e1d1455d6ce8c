// The same bytes on any number of ranks: every layout's video, segments and finished latents against one
// rank's.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "program.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "latentcast/weights/safetensors.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

struct Layout {
  std::string job;  ///< tiny or a case
  int ranks;
  std::vector<std::string> options;

  std::string name() const {
    std::string text = job + "_" + std::to_string(ranks) + "_ranks";
    for (const std::string& option : options) {
      text += "_" + option;
    }
    std::erase_if(text, [](char c) { return c != '_' && std::isalnum(static_cast<unsigned char>(c)) == 0; });
    return text;
  }
};

std::vector<std::string> arguments(const std::string& job, const fs::path& folder) {
  std::vector<std::string> args = case_arguments(job, folder / "run");
  args.insert(args.end(), {"--threads", "1", "--trace", (folder / "trace.safetensors").string()});
  return args;
}

ProgramResult run_ranks(int ranks, const std::vector<std::string>& args) {
  std::vector<std::string> command = {"mpirun",
                                      "--allow-run-as-root",
                                      "--oversubscribe",
                                      "--bind-to",
                                      "none",
                                      "-n",
                                      std::to_string(ranks),
                                      std::getenv("LATENTCAST_PROGRAM")};
  command.insert(command.end(), args.begin(), args.end());
  return run_program(command);
}

std::string bytes_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

/// Finished latents of every block, from whichever rank's trace has them.
std::map<std::string, std::string> latents_of(const fs::path& folder) {
  std::map<std::string, std::string> latents;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with("trace.safetensors")) {
      const TensorArchive trace = open_safetensors(entry.path().string());
      for (const std::string& name : trace.names()) {
        if (name.starts_with("block")) {
          const auto bytes = trace.find(name)->bytes;
          latents[name] = std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        }
      }
    }
  }
  return latents;
}

/// One rank's result, made once a job and kept for the program's life.
const fs::path& baseline(const std::string& job, const std::vector<std::string>& extra) {
  static std::map<std::string, std::unique_ptr<TemporaryFolder>> made;
  static std::map<std::string, fs::path> paths;
  const std::string key = job + testing::PrintToString(extra);
  if (!made.contains(key)) {
    auto folder = std::make_unique<TemporaryFolder>();
    std::vector<std::string> args = arguments(job, folder->path());
    args.insert(args.end(), extra.begin(), extra.end());
    const ProgramResult result = run_latentcast(args);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    paths[key] = folder->path();
    made[key] = std::move(folder);
  }
  return paths[key];
}

void expect_same(const fs::path& wanted, const fs::path& got) {
  ASSERT_FALSE(bytes_of(wanted / "run" / "video.mp4").empty());
  EXPECT_TRUE(bytes_of(wanted / "run" / "video.mp4") == bytes_of(got / "run" / "video.mp4"))
      << "video differs";
  const auto a = latents_of(wanted), b = latents_of(got);
  ASSERT_GT(a.size(), 1u);
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, bytes] : a) {
    EXPECT_TRUE(b.contains(name) && b.at(name) == bytes) << name << " differs";
  }
}

/// The run's own report says that the ranks did what the layout says.
void expect_ranks_worked(const fs::path& folder, const Layout& layout) {
  const nlohmann::json report = nlohmann::json::parse(bytes_of(folder / "run" / "report.json"));
  ASSERT_EQ(report.at("ranks").size(), static_cast<size_t>(layout.ranks));
  const bool shard = std::find(layout.options.begin(), layout.options.end(), "on") != layout.options.end();
  int64_t frames = 0;
  for (const nlohmann::json& rank : report.at("ranks")) {
    frames += rank.at("frames_written").get<int64_t>();
    EXPECT_TRUE(rank.at("ticks").get<int64_t>() > 0 || rank.at("frames_written").get<int64_t>() > 0);
    EXPECT_EQ(shard && rank.at("ticks").get<int64_t>() > 0, rank.at("bytes_gathered").get<int64_t>() > 0);
  }
  EXPECT_EQ(frames, report.at("frames").get<int64_t>());
}

class Ranks : public testing::TestWithParam<Layout> {};

TEST_P(Ranks, GiveOneRanksBytes) {
  const Layout& layout = GetParam();
  const TemporaryFolder folder;
  std::vector<std::string> args = arguments(layout.job, folder.path());
  args.insert(args.end(), layout.options.begin(), layout.options.end());
  const ProgramResult result = run_ranks(layout.ranks, args);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_same(baseline(layout.job, {}), folder.path());
  expect_ranks_worked(folder.path(), layout);
}

std::vector<Layout> covering() {
  const std::vector<std::string> stream = {"--decoder", "stream"}, rank = {"--decoder", "rank"};
  const auto with = [](std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  const std::vector<std::string> layers = {"--split", "layers"}, shard = {"--shard", "on"};
  return {{"tiny", 2, stream},
          {"tiny", 2, rank},
          {"tiny", 3, {}},
          {"tiny", 4, stream},
          {"tiny", 5, {}},
          {"tiny", 2, with(shard, stream)},
          {"tiny", 3, with(shard, stream)},
          {"tiny", 5, shard},
          {"tiny", 2, with(layers, stream)},
          {"tiny", 3, with(layers, rank)},
          {"landscape", 3, with(layers, stream)},
          {"landscape", 5, with(layers, rank)},
          {"portrait", 4, with(shard, stream)},
          {"duo", 3, with(layers, stream)}};
}

INSTANTIATE_TEST_SUITE_P(Covering, Ranks, testing::ValuesIn(covering()),
                         [](const auto& info) { return info.param.name(); });

// A block a clip, so that four clips are under way; and a cut by hand.
TEST(RanksByLayers, TakeClipsOfOneBlock) {
  const std::vector<std::string> extra = {"--infer_frames", "12", "--num_clip", "7"};
  const Layout layout = {"landscape", 3, {"--split", "layers", "--layer_partition", "1,2,1"}};
  const TemporaryFolder folder;
  std::vector<std::string> args = arguments(layout.job, folder.path());
  args.insert(args.end(), layout.options.begin(), layout.options.end());
  args.insert(args.end(), extra.begin(), extra.end());
  const ProgramResult result = run_ranks(layout.ranks, args);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_same(baseline(layout.job, extra), folder.path());
  expect_ranks_worked(folder.path(), layout);
}

TEST(RankCounts, ThatLeaveNothingToDoAreRefusedWithTheUsefulOnes) {
  const TemporaryFolder folder;
  const ProgramResult result = run_ranks(3, [&] {
    std::vector<std::string> args = arguments("tiny", folder.path());
    args.insert(args.end(), {"--split", "layers", "--decoder", "stream"});  // two layers
    return args;
  }());
  EXPECT_EQ(result.exit_code, 64) << result.err;
  EXPECT_THAT(result.err, HasSubstr("2"));
  EXPECT_FALSE(fs::exists(folder.path() / "run" / "video.mp4"));
}

}  // namespace
}  // namespace latentcast::test
