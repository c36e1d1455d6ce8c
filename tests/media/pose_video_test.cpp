#include "latentcast/media/pose_video.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "media_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

using ::testing::HasSubstr;
using testing::media_file;
using testing::message_of;
using testing::TemporaryFolder;

TEST(PoseVideo, GivesThePublicCodesFrames) {
  const auto expected = testing::expected_tensor("pose30.mkv@128x192");
  const auto values = expected.floats();
  ASSERT_EQ(expected.shape, (std::vector<int64_t>{6, 3, 128, 192}));
  PoseReader reader(media_file("pose30.mkv"), 192, 128, PoseTiming::kPublic);
  const std::array<int, 6> kept = {0, 1, 20, 36, 37, 47};
  const size_t area = 128 * 192;
  const auto first = reader.read(30);  // in pieces, as clips are
  const auto second = reader.read(18);
  for (size_t n = 0; n < kept.size(); ++n) {
    const bool early = kept[n] < 30;
    const auto& frames = early ? first : second;
    const size_t count = early ? 30 : 18;
    const size_t k = early ? kept[n] : kept[n] - 30;
    float worst = 0;
    for (size_t i = 0; i < 3 * area; ++i) {
      const float ours = frames[(i / area * count + k) * area + i % area];
      worst = std::max(worst, std::abs(ours - values[n * 3 * area + i]));
    }
    EXPECT_LE(worst, 1e-5F) << "frame " << kept[n];
  }
}

/// The files steps*.mkv show brightness 16 + 3n in their n-th frame; this gives n for each output frame, -1
/// for none.
std::vector<int> source_frames(const std::string& name, int count, PoseTiming timing) {
  PoseReader reader(media_file("formats/" + name), 16, 16, timing);
  const auto frames = reader.read(count);
  std::vector<int> numbers;
  for (int k = 0; k < count; ++k) {
    const float value = (frames[static_cast<size_t>(k) * 256 + 128] + 1) / 2 * 255;
    numbers.push_back(value < 1 ? -1 : static_cast<int>(std::lround((value - 16) / 3)));
  }
  return numbers;
}

std::vector<int> nearest(int rate, int count) {
  std::vector<int> numbers;
  for (int k = 0; k < count; ++k) {
    const int n = (k * rate * 2 + 25 - 1) / 50;  // round(k * rate / 25), a half downwards
    numbers.push_back(k < 25 ? std::min(n, rate - 1) : -1);
  }
  return numbers;
}

TEST(PoseVideo, TakesTheNearestFrameAtAnyRate) {
  for (const int rate : {24, 30, 60}) {
    EXPECT_EQ(source_frames("steps" + std::to_string(rate) + ".mkv", 28, PoseTiming::kNearest),
              nearest(rate, 28))
        << rate;
  }
}

TEST(PoseVideo, CountsTimeFromTheFirstFrame) {
  EXPECT_EQ(source_frames("late30.mkv", 28, PoseTiming::kNearest), nearest(30, 28));
}

TEST(PoseVideo, CountsFramesAsThePublicCodeDoes) {
  std::vector<int> every(32);
  std::vector<int> second(32);
  for (int k = 0; k < 32; ++k) {
    every[k] = k < 30 ? k : -1;
    second[k] = k < 30 ? 2 * k : -1;
  }
  EXPECT_EQ(source_frames("steps30.mkv", 32, PoseTiming::kPublic), every);
  EXPECT_EQ(source_frames("steps60.mkv", 32, PoseTiming::kPublic), second);
}

TEST(PoseVideo, FillsWithMiddleGreyBesideAPictureThatIsTooShort) {
  PoseReader reader(media_file("pose30.mkv"), 96, 256);  // 150x90 becomes 160x96
  const auto frame = reader.read(1);
  EXPECT_EQ(frame[0], 0);
  EXPECT_EQ(frame[79 * 96 + 40], 0);
  EXPECT_NE(frame[80 * 96 + 40], 0);
  EXPECT_NE(frame[175 * 96 + 40], 0);
  EXPECT_EQ(frame[176 * 96 + 40], 0);
}

TEST(PoseVideo, ReadsYuvInItsOwnColours) {
  TemporaryFolder folder;
  VideoSettings settings{64, 64};
  settings.crf = 1;
  SegmentWriter writer(folder / "a.ts", settings, 0, nullptr);
  // 200, 40, 90 by BT.709's formulas
  for (int i = 0; i < 5; ++i) writer.write(testing::plain_frame(settings, 83, 134, 196));
  writer.close();
  const auto frames = PoseReader(folder / "a.ts", 64, 64).read(5);
  const std::array<float, 3> expected = {200, 40, 90};
  for (size_t c = 0; c < 3; ++c) {
    const float ours = (frames[(c * 5 + 4) * 4096 + 2000] + 1) / 2 * 255;
    EXPECT_NEAR(ours, expected[c], 2.5) << c;  // BT.601 read for BT.709 would differ by more than 10
  }
}

TEST(PoseVideo, RefusesWhatIsNoVideo) {
  TemporaryFolder folder;
  testing::write_text(folder / "text.mp4", "This is not a video at all, only a few words.\n");
  for (const auto& path : {folder / "text.mp4", folder / "missing.mp4", media_file("stereo44k.wav")}) {
    EXPECT_THAT(message_of<InputError>([&] { PoseReader(path, 64, 64); }), HasSubstr(path.string()));
  }
}

}  // namespace
}  // namespace latentcast
