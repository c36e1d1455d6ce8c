#include "latentcast/media/video_writer.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "media_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"
#include "latentcast/media/video_info.h"

namespace latentcast {
namespace {

using testing::file_bytes;
using ::testing::HasSubstr;
using testing::kSmall;
using testing::message_of;
using testing::TemporaryFolder;
using testing::tone_track;
using testing::write_segment;

TEST(SegmentWriter, WritesAFileThatPlaysAlone) {
  TemporaryFolder folder;
  SoundTrackReader sound(tone_track(folder, 16000, 1, 5 * 16000));
  write_segment(folder / "1.ts", kSmall, 48, 48, &sound);
  const VideoInfo info = probe_video(folder / "1.ts");
  EXPECT_EQ(info.width, 96);
  EXPECT_EQ(info.height, 64);
  EXPECT_EQ(info.frames, 48);
  EXPECT_DOUBLE_EQ(info.fps, 25);
  EXPECT_NEAR(info.video_seconds, 1.92, 1e-3);
  EXPECT_NEAR(info.sound_seconds, 1.92, 0.064);
  EXPECT_FALSE(std::filesystem::exists(folder / "1.ts.part"));
  EXPECT_EQ(testing::problems_of(folder / "1.ts"), "");
}

TEST(SegmentWriter, GivesEverySegmentItsPlaceInTime) {
  TemporaryFolder folder;
  write_segment(folder / "1.ts", kSmall, 100, 5, nullptr);
  const std::string times =
      testing::output_of("ffprobe -v error -show_entries stream=start_pts,codec_name -of csv=p=0 '" +
                         (folder / "1.ts").string() + "'");
  EXPECT_THAT(times, HasSubstr("h264," + std::to_string(4 * 90000 + 126000)));
  EXPECT_EQ(probe_video(folder / "1.ts").sound_seconds, 0);
}

TEST(SegmentWriter, TagsItsColours) {
  TemporaryFolder folder;
  write_segment(folder / "1.ts", kSmall, 0, 3, nullptr);
  const std::string colours = testing::output_of(
      "ffprobe -v error -show_entries stream=pix_fmt,color_range,color_space,color_transfer,color_primaries "
      "-of "
      "default=nk=0:nw=1 '" +
      (folder / "1.ts").string() + "'");
  EXPECT_THAT(colours, HasSubstr("pix_fmt=yuv420p\n"));
  EXPECT_THAT(colours, HasSubstr("color_range=tv\n"));
  EXPECT_THAT(colours, HasSubstr("color_space=bt709\n"));
  EXPECT_THAT(colours, HasSubstr("color_transfer=bt709\n"));
  EXPECT_THAT(colours, HasSubstr("color_primaries=bt709\n"));
}

/// Leaves traces in memory that the next encoder gets.
void stir_memory(int value) {
  std::vector<std::vector<uint8_t>> blocks;
  for (int i = 0; i < 400; ++i)
    blocks.emplace_back(size_t{16} << (i % 17), static_cast<uint8_t>(value * 37 + i));
}

TEST(SegmentWriter, HasTheSameBytesAtEveryWidth) {
  TemporaryFolder folder;
  for (const auto& [width, height] : {std::pair{64, 64}, {96, 64}, {192, 128}, {320, 192}}) {
    const VideoSettings settings{width, height};
    stir_memory(1);
    write_segment(folder / "a.ts", settings, 0, 36, nullptr);
    for (int again = 0; again < 3; ++again) {
      stir_memory(again + 2);
      write_segment(folder / "b.ts", settings, 0, 36, nullptr);
      EXPECT_TRUE(file_bytes(folder / "a.ts") == file_bytes(folder / "b.ts")) << width << "x" << height;
    }
  }
}

TEST(SegmentWriter, HasTheSameBytesEveryTimeWhateverWasWrittenBefore) {
  TemporaryFolder folder;
  SoundTrackReader going_on(tone_track(folder, 44100, 2, 5 * 44100));
  write_segment(folder / "0.ts", kSmall, 0, 48, &going_on);
  write_segment(folder / "1.ts", kSmall, 48, 48, &going_on);
  write_segment(folder / "0b.ts", kSmall, 0, 48, &going_on);
  SoundTrackReader anew(folder / "a.aac");
  write_segment(folder / "1b.ts", kSmall, 48, 48, &anew);
  EXPECT_TRUE(file_bytes(folder / "0.ts") == file_bytes(folder / "0b.ts"));
  EXPECT_TRUE(file_bytes(folder / "1.ts") == file_bytes(folder / "1b.ts"));
  VideoSettings threads = kSmall;
  threads.threads = 2;
  write_segment(folder / "t.ts", threads, 48, 48, &anew);
  write_segment(folder / "tb.ts", threads, 48, 48, &anew);
  EXPECT_TRUE(file_bytes(folder / "t.ts") == file_bytes(folder / "tb.ts"));
}

size_t noise_bytes(const std::filesystem::path& path, int crf) {
  VideoSettings settings = kSmall;
  settings.crf = crf;
  SegmentWriter writer(path, settings, 0, nullptr);
  std::minstd_rand random(1);
  std::vector<uint8_t> frame(96 * 64 * 3 / 2);
  for (int i = 0; i < 12; ++i) {
    for (uint8_t& value : frame) value = static_cast<uint8_t>(random() >> 8);
    writer.write(frame);
  }
  writer.close();
  return file_bytes(path).size();
}

TEST(SegmentWriter, ObeysTheQuality) {
  TemporaryFolder folder;
  EXPECT_LT(noise_bytes(folder / "a.ts", 40) * 2, noise_bytes(folder / "b.ts", 18));
}

TEST(SegmentWriter, LeavesNothingBehindUnlessClosed) {
  TemporaryFolder folder;
  {
    SegmentWriter writer(folder / "a.ts", kSmall, 0, nullptr);
    for (int i = 0; i < 100; ++i) writer.write(testing::moving_frame(kSmall, i));
    EXPECT_TRUE(std::filesystem::exists(folder / "a.ts.part"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(SegmentWriter, RefusesWrongUse) {
  TemporaryFolder folder;
  SegmentWriter writer(folder / "a.ts", kSmall, 0, nullptr);
  const std::vector<uint8_t> small(100);
  EXPECT_THAT(message_of<InternalError>([&] { writer.write(small); }), HasSubstr("100 bytes"));
  EXPECT_THAT(message_of<InternalError>([&] { writer.close(); }), HasSubstr("without frames"));
  writer.write(testing::moving_frame(kSmall, 0));
  EXPECT_EQ(writer.close(), 1);
  EXPECT_THAT(message_of<InternalError>([&] { writer.close(); }), HasSubstr("closed already"));
  EXPECT_THAT(message_of<InternalError>([&] { writer.write(testing::moving_frame(kSmall, 0)); }),
              HasSubstr("closed"));

  VideoSettings bad = kSmall;
  bad.preset = "sloooow";
  EXPECT_THAT(message_of<InputError>([&] { SegmentWriter(folder / "b.ts", bad, 0, nullptr); }),
              HasSubstr("sloooow"));
  bad = kSmall;
  bad.crf = 99;
  EXPECT_THAT(message_of<InputError>([&] { SegmentWriter(folder / "b.ts", bad, 0, nullptr); }),
              HasSubstr("99"));
  bad = kSmall;
  bad.width = 97;
  EXPECT_THAT(message_of<InternalError>([&] { SegmentWriter(folder / "b.ts", bad, 0, nullptr); }),
              HasSubstr("even"));
  EXPECT_FALSE(std::filesystem::exists(folder / "b.ts.part"));
}

}  // namespace
}  // namespace latentcast
