// Measures against values that follow from the pixels: videos without loss, made from planes written here.
#include "latentcast/media/video_compare.h"

#include <cmath>
#include <random>
#include <string>

#include "media_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kSmall;
using testing::message_of;
using testing::TemporaryFolder;
using testing::write_segment;

constexpr int kWidth = 64, kHeight = 48;
constexpr size_t kLuma = kWidth * kHeight, kFrame = kLuma * 3 / 2;

/// Frames of 4:2:0, plane after plane, as a video without loss.
fs::path lossless(const fs::path& video, const std::vector<uint8_t>& planes, int width = kWidth,
                  int height = kHeight) {
  testing::write_file(video.string() + ".yuv", planes);
  const std::string size = std::to_string(width) + "x" + std::to_string(height);
  EXPECT_EQ(testing::output_of("ffmpeg -v error -y -f rawvideo -pix_fmt yuv420p -video_size " + size +
                               " -i " + testing::quoted(video.string() + ".yuv") + " -c:v ffv1 " +
                               testing::quoted(video) + " 2>&1"),
            "");
  return video;
}

/// Pixels that no codec could guess, far enough from the ends for noise.
std::vector<uint8_t> random_frames(size_t frames) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> level(60, 190);
  std::vector<uint8_t> planes(frames * kFrame);
  for (uint8_t& sample : planes) sample = static_cast<uint8_t>(level(random));
  return planes;
}

TEST(CompareVideos, FindsNothingBetweenAVideoAndItself) {
  TemporaryFolder folder;
  const fs::path video = lossless(folder / "a.mkv", random_frames(5));
  const std::vector<Likeness> segments = compare_videos(video, video, 2);
  ASSERT_EQ(segments.size(), 3U);
  EXPECT_EQ(segments[0].frames(), 2);
  EXPECT_EQ(segments[2].frames(), 1);
  for (const Likeness& segment : segments) {
    EXPECT_TRUE(segment.identical());
    EXPECT_TRUE(std::isinf(segment.psnr()) && segment.psnr() > 0);
    EXPECT_EQ(segment.ssim(), 1);
  }
}

TEST(CompareVideos, GivesThePsnrOfNoiseOfAKnownLevel) {
  TemporaryFolder folder;
  const std::vector<uint8_t> clean = random_frames(4);
  std::vector<uint8_t> noisy = clean;
  std::mt19937 random(2);
  std::normal_distribution<double> noise(0, 8);
  double squares[4] = {};
  for (size_t i = 0; i < noisy.size(); ++i) {
    if (i / kFrame == 1) continue;  // frame 1 stays as it is
    const int change = static_cast<int>(std::lround(noise(random)));
    noisy[i] = static_cast<uint8_t>(clean[i] + change);
    squares[i / kFrame] += change * change;
  }
  const fs::path a = lossless(folder / "a.mkv", clean), b = lossless(folder / "b.mkv", noisy);
  const auto psnr = [](double sum, double samples) { return 10 * std::log10(255.0 * 255 * samples / sum); };
  // A plane's mean times its share of the samples, added up, is the mean of all samples; FFmpeg prints
  // decibels with six digits of a float.
  constexpr double kRounding = 1e-4;

  const std::vector<Likeness> frames = compare_videos(a, b, 1);
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_TRUE(frames[1].identical());
  for (const size_t i : {0U, 2U, 3U}) {
    EXPECT_NEAR(frames[i].psnr(), psnr(squares[i], kFrame), kRounding) << i;
    EXPECT_NEAR(frames[i].psnr(), psnr(8 * 8, 1), 0.3) << "the noise isn't what was asked for";
    EXPECT_LT(frames[i].ssim(), 0.999);
  }
  const Likeness whole = compare_videos(a, b, 0).front();
  EXPECT_EQ(whole.frames(), 4);
  EXPECT_NEAR(whole.psnr(), psnr(squares[0] + squares[2] + squares[3], 4 * kFrame), kRounding);
  Likeness sum;
  for (const Likeness& frame : frames) sum.add(frame);
  EXPECT_DOUBLE_EQ(sum.psnr(), whole.psnr());
  EXPECT_DOUBLE_EQ(sum.ssim(), whole.ssim());
}

TEST(CompareVideos, SeesOneSampleOfAWholeFrame) {
  TemporaryFolder folder;
  constexpr int kSide = 1024;
  std::vector<uint8_t> planes(kSide * kSide * 3 / 2, 100);
  const fs::path a = lossless(folder / "a.mkv", planes, kSide, kSide);
  ++planes[4711];
  const Likeness likeness = compare_videos(a, lossless(folder / "b.mkv", planes, kSide, kSide), 0).front();
  EXPECT_FALSE(likeness.identical());
  EXPECT_NEAR(likeness.psnr(), 10 * std::log10(255.0 * 255 * kSide * kSide * 1.5), 1e-4);
}

TEST(CompareVideos, GivesTheSsimOfAnotherBrightness) {
  TemporaryFolder folder;
  std::vector<uint8_t> dark(kFrame, 128), bright(kFrame, 128);
  std::fill_n(dark.begin(), kLuma, 100);
  std::fill_n(bright.begin(), kLuma, 120);
  const Likeness likeness =
      compare_videos(lossless(folder / "a.mkv", dark), lossless(folder / "b.mkv", bright), 0).front();
  // Without variance, what is left of the formula is that of the means.
  const double c1 = 0.01 * 0.01 * 255 * 255;
  const double luma = (2 * 100 * 120 + c1) / (100 * 100 + 120 * 120 + c1);
  EXPECT_NEAR(likeness.ssim(), (4 * luma + 1 + 1) / 6, 1e-5);
}

TEST(CompareVideos, RefusesAnotherSizeOrLength) {
  TemporaryFolder folder;
  const fs::path a = folder / "a.ts", shorter = folder / "b.ts", smaller = folder / "c.ts";
  write_segment(a, kSmall, 0, 12, nullptr);
  write_segment(shorter, kSmall, 0, 9, nullptr);
  write_segment(smaller, VideoSettings{64, 64}, 0, 12, nullptr);
  const auto message = [&](const fs::path& x, const fs::path& y) {
    return message_of<InputError>([&] { compare_videos(x, y, 48); });
  };
  EXPECT_THAT(message(a, shorter), AllOf(HasSubstr("a.ts' (12 frames)"), HasSubstr("b.ts' (9 frames)")));
  EXPECT_THAT(message(shorter, a), AllOf(HasSubstr("a.ts' (12 frames)"), HasSubstr("b.ts' (9 frames)")));
  EXPECT_THAT(message(a, smaller), AllOf(HasSubstr("a.ts' (96x64)"), HasSubstr("c.ts' (64x64)")));
  EXPECT_THAT(message(a, folder / "none.ts"), HasSubstr("none.ts': no such file"));
}

}  // namespace
}  // namespace latentcast
