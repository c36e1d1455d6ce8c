#include "latentcast/media/join.h"

#include <cmath>
#include <cstdlib>
#include <string>

#include "media_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"
#include "latentcast/media/sound.h"
#include "latentcast/media/sound_track.h"
#include "latentcast/media/video_info.h"
#include "latentcast/media/video_writer.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;
using testing::file_bytes;
using ::testing::HasSubstr;
using testing::kSmall;
using testing::message_of;
using testing::TemporaryFolder;
using testing::tone_track;
using testing::write_segment;

constexpr double kFrame = 1.0 / 25;

std::vector<fs::path> make_segments(const TemporaryFolder& folder, const std::vector<int64_t>& counts,
                                    SoundTrackReader* sound) {
  std::vector<fs::path> paths;
  int64_t first = 0;
  for (const int64_t count : counts) {
    paths.push_back(folder / (std::to_string(paths.size()) + ".ts"));
    write_segment(paths.back(), kSmall, first, count, sound);
    first += count;
  }
  return paths;
}

double probed(const fs::path& path, const std::string& stream, const std::string& field) {
  return std::atof(testing::output_of("ffprobe -v error -select_streams " + stream +
                                      " -show_entries stream=" + field + " -of csv=p=0 '" + path.string() +
                                      "'")
                       .c_str());
}

class JoinRate : public ::testing::TestWithParam<int> {};

TEST_P(JoinRate, EndsSoundAndPictureTogether) {
  const int rate = GetParam();
  TemporaryFolder folder;
  SoundTrackReader sound(tone_track(folder, rate, 1, rate * 77 / 10));
  const auto segments = make_segments(folder, {48, 96, 49}, &sound);
  join_segments(segments, folder / "video.mp4");
  EXPECT_FALSE(fs::exists(folder / "video.mp4.part"));

  const VideoInfo info = probe_video(folder / "video.mp4");
  EXPECT_EQ(info.frames, 193);
  EXPECT_EQ(info.width, 96);
  EXPECT_EQ(info.height, 64);
  EXPECT_DOUBLE_EQ(info.fps, 25);
  EXPECT_NEAR(info.video_seconds, 7.7, kFrame);
  EXPECT_NEAR(info.sound_seconds, 7.7, kFrame);
  for (const char* stream : {"v", "a"}) {
    EXPECT_NEAR(probed(folder / "video.mp4", stream, "duration"), 7.7, kFrame) << stream;
    EXPECT_EQ(probed(folder / "video.mp4", stream, "start_time"), 0) << stream;
  }
  EXPECT_EQ(testing::problems_of(folder / "video.mp4"), "");

  // Decoded, the sound lies where it lay in the source.
  const auto before = read_sound(folder / "a.wav", rate);
  const auto after = read_sound(folder / "video.mp4", rate);
  double error = 0;
  const size_t from = before.size() / 8;
  const size_t to = before.size() / 8 * 7;
  for (size_t i = from; i < to; ++i) error += std::pow(before[i] - after[i], 2);
  EXPECT_LT(std::sqrt(error / static_cast<double>(to - from)), 0.01);
}

INSTANTIATE_TEST_SUITE_P(Rates, JoinRate, ::testing::Values(16000, 22050, 44100, 48000));

TEST(Join, KeepsEveryFrameInOrder) {
  TemporaryFolder folder;
  VideoSettings settings = kSmall;
  std::vector<fs::path> segments;
  for (int64_t n = 0, first = 0; n < 4; ++n) {  // brightness tells the frame
    const int64_t count = std::array<int64_t, 4>{13, 1, 2, 24}[n];
    segments.push_back(folder / (std::to_string(n) + ".ts"));
    SegmentWriter writer(segments.back(), settings, first, nullptr);
    for (int64_t i = first; i < first + count; ++i) {
      const double grey = 20 + 5 * static_cast<double>(i);
      writer.write(
          testing::plain_frame(settings, static_cast<int>(std::lround(16 + grey * 219 / 255)), 128, 128));
    }
    writer.close();
    first += count;
  }
  join_segments(segments, folder / "video.mp4");
  const std::string command = "ffmpeg -v error -i '" + (folder / "video.mp4").string() +
                              "' -vsync passthrough -vf scale=1:1:flags=area,format=rgb24 -f rawvideo '" +
                              (folder / "raw").string() + "'";
  ASSERT_EQ(testing::output_of(command), "");
  const auto raw = file_bytes(folder / "raw");
  ASSERT_EQ(raw.size(), 40U * 3);
  for (int i = 0; i < 40; ++i) EXPECT_NEAR(raw[i * 3], 20 + 5 * i, 2) << i;
  EXPECT_NEAR(probe_video(folder / "video.mp4").video_seconds, 1.6, 1e-3);
}

TEST(Join, PutsTheIndexInFrontAndTagsColours) {
  TemporaryFolder folder;
  join_segments(make_segments(folder, {10, 10}, nullptr), folder / "video.mp4");
  const auto bytes = file_bytes(folder / "video.mp4");
  const std::string text(bytes.begin(), bytes.end());
  EXPECT_LT(text.find("moov"), text.find("mdat"));
  EXPECT_NE(text.find("colrnclx"), std::string::npos);
  const std::string colours = testing::output_of(
      "ffprobe -v error -show_entries stream=codec_tag_string,pix_fmt,color_space,color_range -of "
      "default=nw=1 '" +
      (folder / "video.mp4").string() + "'");
  EXPECT_THAT(colours, HasSubstr("codec_tag_string=avc1"));
  EXPECT_THAT(colours, HasSubstr("pix_fmt=yuv420p"));
  EXPECT_THAT(colours, HasSubstr("color_space=bt709"));
  EXPECT_THAT(colours, HasSubstr("color_range=tv"));
  EXPECT_EQ(probe_video(folder / "video.mp4").sound_seconds, 0);
}

TEST(Join, HasTheSameBytesEveryTime) {
  TemporaryFolder folder;
  encode_sound_track({testing::media_file("stereo44k.wav")}, folder / "a.aac", 0);
  SoundTrackReader sound(folder / "a.aac");
  const auto segments = make_segments(folder, {20, 23}, &sound);
  join_segments(segments, folder / "a.mp4");
  join_segments(segments, folder / "b.mp4");
  EXPECT_TRUE(file_bytes(folder / "a.mp4") == file_bytes(folder / "b.mp4"));
}

TEST(Join, CutsSoundThatIsLongerAndTakesSoundThatIsShorter) {
  TemporaryFolder folder;
  encode_sound_track({testing::media_file("stereo44k.wav")}, folder / "a.aac", 0);  // 1.7 s
  SoundTrackReader sound(folder / "a.aac");
  join_segments(make_segments(folder, {10, 10}, &sound), folder / "short.mp4");
  EXPECT_NEAR(probe_video(folder / "short.mp4").sound_seconds, 0.8, 1e-3);
  join_segments(make_segments(folder, {48, 48}, &sound), folder / "long.mp4");
  const VideoInfo info = probe_video(folder / "long.mp4");
  EXPECT_NEAR(info.video_seconds, 3.84, 1e-3);
  EXPECT_NEAR(info.sound_seconds, 1.7, kFrame);
}

TEST(Join, NamesDamagedSegmentsAndLeavesNothingBehind) {
  TemporaryFolder folder;
  encode_sound_track({testing::media_file("stereo44k.wav")}, folder / "a.aac", 0);
  SoundTrackReader sound(folder / "a.aac");
  const auto good = make_segments(folder, {20, 20, 10}, &sound);
  const auto whole = file_bytes(good[1]);
  const auto expect_refused = [&](const fs::path& middle) {
    EXPECT_THAT(message_of<InputError>([&] {
                  join_segments({good[0], middle, good[2]}, folder / "video.mp4");
                }),
                HasSubstr(testing::quoted(middle)));
    EXPECT_FALSE(fs::exists(folder / "video.mp4"));
    EXPECT_FALSE(fs::exists(folder / "video.mp4.part"));
  };
  const auto write = [&](const std::string& name, const std::vector<uint8_t>& bytes) {
    testing::write_file(folder / name, bytes);
    return folder / name;
  };
  expect_refused(folder / "missing.ts");
  expect_refused(write("empty.ts", {}));
  expect_refused(write("text.ts", std::vector<uint8_t>(188 * 40, 'x')));
  expect_refused(write("cut.ts", {whole.begin(), whole.end() - 100}));
  auto hole = whole;
  const auto middle = hole.begin() + static_cast<ptrdiff_t>(hole.size() / 188 / 2 * 188);
  hole.erase(middle, middle + 188 * 10);
  expect_refused(write("hole.ts", hole));
  auto zeroed = whole;
  std::fill(zeroed.begin() + 188 * 30, zeroed.begin() + 188 * 50, 0);
  expect_refused(write("zeroed.ts", zeroed));

  expect_refused(good[0]);  // not where the one before ends
  VideoSettings other = kSmall;
  other.width = 64;
  write_segment(folder / "other.ts", other, 20, 20, &sound);
  expect_refused(folder / "other.ts");
}

TEST(Join, NoticesLostEndsByTheNextSegmentsBegin) {
  TemporaryFolder folder;
  const auto segments = make_segments(folder, {20, 20, 20}, nullptr);
  EXPECT_THAT(message_of<InputError>([&] {
                join_segments({segments[0], segments[2]}, folder / "video.mp4");
              }),
              HasSubstr(testing::quoted(segments[2])));
}

TEST(VideoInfo, RefusesWhatIsNoVideo) {
  TemporaryFolder folder;
  testing::write_text(folder / "text.mp4", "This is not a video at all, only a few words.\n");
  for (const auto& path :
       {folder / "text.mp4", folder / "missing.mp4", testing::media_file("stereo44k.wav")}) {
    EXPECT_THAT(message_of<InputError>([&] { probe_video(path); }), HasSubstr(path.string()));
  }
}

}  // namespace
}  // namespace latentcast
