// The same bytes on any number of ranks: every layout's video and finished latents against one rank's, and a
// report of exactly the work that the layout says. Tests whose names begin with All are the whole matrix.

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>

#include "files.h"
#include "program.h"
#include "ranks_matrix.h"
#include "ranks_report.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/weights/safetensors.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::ValuesIn;

ProgramResult run_case(const RankCase& rank_case, const fs::path& folder) {
  std::vector<std::string> command = {"mpirun",
                                      "--allow-run-as-root",
                                      "--oversubscribe",
                                      "--bind-to",
                                      "none",
                                      "-n",
                                      std::to_string(rank_case.ranks),
                                      std::getenv("LATENTCAST_PROGRAM")};
  const auto add = [&](const std::vector<std::string>& more) {
    command.insert(command.end(), more.begin(), more.end());
  };
  add(case_arguments(rank_case.job, folder / "run"));
  add({"--threads", "1", "--trace", (folder / "trace.safetensors").string()});
  add(rank_case.job_options());
  add(rank_case.layout_options());
  return run_program(command);
}

/// A finished run with its traces.
class Rendered {
 public:
  explicit Rendered(const RankCase& rank_case) {
    const ProgramResult result = run_case(rank_case, folder_.path());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    if (result.exit_code != 0) return;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      if (entry.path().filename().string().starts_with("trace.safetensors")) read_trace(entry.path());
    }
  }

  fs::path run_dir() const { return folder_.path() / "run"; }
  std::string video() const { return read_bytes(run_dir() / "video.mp4"); }
  /// Finished latents of every block, from whichever rank's trace has them.
  const std::map<std::string, std::string>& latents() const { return latents_; }
  /// Pixels of all decoded frames.
  const std::string& frames() const { return frames_; }

 private:
  void read_trace(const fs::path& file) {
    const TensorArchive trace = open_safetensors(file.string());
    const auto bytes_of = [&](const std::string& name) {
      const auto bytes = trace.find(name)->bytes;
      return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    for (const std::string& name : trace.names()) {
      if (name.starts_with("block")) latents_[name] = bytes_of(name);
      if (name == "frames") frames_ = bytes_of(name);
    }
  }

  TemporaryFolder folder_;
  std::map<std::string, std::string> latents_;
  std::string frames_;
};

/// What one rank gives for the case's job, rendered once and kept for the program's life.
const Rendered& one_rank(const RankCase& rank_case) {
  static std::map<std::string, std::unique_ptr<Rendered>> made;
  RankCase alone = rank_case;
  alone.ranks = 1;
  alone.division = Division::kAuto;
  alone.decoder.reset();
  alone.partition.clear();
  std::unique_ptr<Rendered>& rendered = made[alone.name()];
  if (!rendered) rendered = std::make_unique<Rendered>(alone);
  return *rendered;
}

void expect_same_latents(const Rendered& wanted, const Rendered& got) {
  ASSERT_GT(wanted.latents().size(), 0U);
  ASSERT_EQ(wanted.latents().size(), got.latents().size());
  for (const auto& [name, bytes] : wanted.latents()) {
    EXPECT_TRUE(got.latents().contains(name) && got.latents().at(name) == bytes) << name << " differs";
  }
}

void expect_ones_bytes(const RankCase& rank_case) {
  const Rendered& wanted = one_rank(rank_case);
  const Rendered got(rank_case);
  if (::testing::Test::HasFailure()) return;
  EXPECT_FALSE(wanted.video().empty());
  EXPECT_TRUE(wanted.video() == got.video()) << "the video differs";
  EXPECT_TRUE(wanted.frames() == got.frames()) << "frames differ";
  expect_same_latents(wanted, got);
  expect_report(got.run_dir(), rank_case);
}

class Ranks : public ::testing::TestWithParam<RankCase> {};
TEST_P(Ranks, GiveOneRanksBytes) { expect_ones_bytes(GetParam()); }

/// Both ways of decoding, on the same ranks.
class Batch : public ::testing::TestWithParam<RankCase> {};
TEST_P(Batch, AgreesWithOnline) {
  RankCase batch = GetParam();
  const Rendered online(batch);
  batch.batch = true;
  const Rendered at_once(batch);
  expect_same_latents(online, at_once);
  ASSERT_EQ(online.frames().size(), at_once.frames().size());
  ASSERT_GT(online.frames().size(), 0U);
  int largest = 0;
  for (size_t i = 0; i < online.frames().size(); ++i) {
    const int a = static_cast<uint8_t>(online.frames()[i]), b = static_cast<uint8_t>(at_once.frames()[i]);
    largest = std::max(largest, std::abs(a - b));
  }
  EXPECT_LE(largest, 1);
  EXPECT_TRUE(at_once.video() == one_rank(batch).video()) << "the video differs from one rank's batch";
  expect_report(at_once.run_dir(), batch);
}

class Refused : public ::testing::TestWithParam<RankCase> {};
TEST_P(Refused, NamesTheUsefulNumbersOfRanks) {
  const TemporaryFolder folder;
  const ProgramResult result = run_case(GetParam(), folder.path());
  EXPECT_EQ(result.exit_code, 64) << result.err;
  const bool decode_rank = GetParam().decoder == DecoderPlace::kRank;
  const int64_t least = decode_rank ? 2 : 1, most = GetParam().most_stages() + (decode_rank ? 1 : 0);
  const std::string numbers = std::to_string(least) + (most > least ? " to " + std::to_string(most) : "");
  EXPECT_THAT(result.err, HasSubstr("Start " + numbers + " rank"));
  EXPECT_FALSE(fs::exists(folder.path() / "run" / "video.mp4"));
}

std::string name_of(const ::testing::TestParamInfo<RankCase>& info) { return info.param.name(); }

RankCase tiny(int ranks, Division division, std::optional<DecoderPlace> decoder) {
  RankCase rank_case;
  rank_case.job = "tiny";
  rank_case.ranks = ranks;
  rank_case.division = division;
  rank_case.decoder = decoder;
  return rank_case;
}

/// One layout for other numbers of frames a clip and of steps, another one each.
std::vector<RankCase> a_layout_for_each() {
  constexpr auto kRank = DecoderPlace::kRank, kStream = DecoderPlace::kStream;
  std::vector<RankCase> cases = {tiny(4, Division::kTimestep, kStream), tiny(2, Division::kShard, kRank),
                                 tiny(2, Division::kLayers, kStream), tiny(5, Division::kTimestep, kStream),
                                 tiny(4, Division::kShard, kStream)};
  const int steps[] = {4, 1, 2, 6, 8};
  for (size_t i = 0; i < cases.size(); ++i) {
    cases[i].sample_steps = steps[i];
    cases[i].clips = 2;
    cases[i].infer_frames = i == 0 ? 12 : 24;
  }
  return cases;
}

std::vector<RankCase> automatic() {
  return {tiny(3, Division::kAuto, std::nullopt), tiny(5, Division::kAuto, std::nullopt)};
}

std::vector<RankCase> batches() {
  return {tiny(3, Division::kLayers, DecoderPlace::kRank), tiny(5, Division::kShard, DecoderPlace::kRank)};
}

std::vector<RankCase> some_refused() {
  return {tiny(5, Division::kShard, DecoderPlace::kStream), tiny(4, Division::kLayers, DecoderPlace::kRank),
          tiny(1, Division::kTimestep, DecoderPlace::kRank)};
}

INSTANTIATE_TEST_SUITE_P(Covering, Ranks, ValuesIn(shortened(covering(feasible(whole_matrix())))), name_of);
INSTANTIATE_TEST_SUITE_P(Clips, Ranks, ValuesIn(a_layout_for_each()), name_of);
INSTANTIATE_TEST_SUITE_P(Automatic, Ranks, ValuesIn(shortened(automatic())), name_of);
INSTANTIATE_TEST_SUITE_P(Some, Batch, ValuesIn(shortened(batches())), name_of);
INSTANTIATE_TEST_SUITE_P(Some, Refused, ValuesIn(some_refused()), name_of);

INSTANTIATE_TEST_SUITE_P(All, Ranks, ValuesIn(feasible(whole_matrix())), name_of);
INSTANTIATE_TEST_SUITE_P(AllClips, Ranks, ValuesIn(feasible(other_clips_and_steps())), name_of);
INSTANTIATE_TEST_SUITE_P(All, Batch, ValuesIn(covering(feasible(whole_matrix()))), name_of);
INSTANTIATE_TEST_SUITE_P(All, Refused, ValuesIn(infeasible(whole_matrix())), name_of);
INSTANTIATE_TEST_SUITE_P(AllClips, Refused, ValuesIn(infeasible(other_clips_and_steps())), name_of);

// A block a clip, so that four clips are under way; and a cut by hand.
TEST(RanksByLayers, TakeClipsOfOneBlock) {
  RankCase rank_case = tiny(3, Division::kLayers, std::nullopt);
  rank_case.job = "landscape";
  rank_case.infer_frames = 12;
  rank_case.clips = 7;
  rank_case.small = true;
  rank_case.partition = "1,2,1";
  expect_ones_bytes(rank_case);
}

TEST(CoveringSet, HasEveryPairOfTheMatrix) {
  const std::vector<RankCase> all = feasible(whole_matrix()), few = covering(all);
  EXPECT_LT(few.size(), 30U);
  const auto has = [&](auto matches) { return std::any_of(few.begin(), few.end(), matches); };
  for (const RankCase& c : all) {
    const auto name = c.name();
    EXPECT_TRUE(has([&](const RankCase& f) { return f.job == c.job && f.ranks == c.ranks; })) << name;
    EXPECT_TRUE(has([&](const RankCase& f) { return f.job == c.job && f.division == c.division; })) << name;
    EXPECT_TRUE(has([&](const RankCase& f) { return f.job == c.job && f.decoder == c.decoder; })) << name;
    EXPECT_TRUE(has([&](const RankCase& f) { return f.ranks == c.ranks && f.division == c.division; }))
        << name;
    EXPECT_TRUE(has([&](const RankCase& f) { return f.ranks == c.ranks && f.decoder == c.decoder; })) << name;
    EXPECT_TRUE(has([&](const RankCase& f) { return f.division == c.division && f.decoder == c.decoder; }))
        << name;
  }
}

}  // namespace
}  // namespace latentcast::test
