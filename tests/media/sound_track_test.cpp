#include "latentcast/media/sound_track.h"

#include <cmath>
#include <string>

#include "media_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"
#include "latentcast/media/sound.h"

namespace latentcast {
namespace {

using testing::file_bytes;
using ::testing::HasSubstr;
using testing::media_file;
using testing::message_of;
using testing::TemporaryFolder;
using testing::tone_track;

int64_t packets_of(const std::filesystem::path& path) {
  SoundTrackReader reader(path);
  int64_t count = 0;
  while (reader.next()) ++count;
  return count;
}

TEST(SoundTrack, HoldsTheWholeSoundBehindOnePacketOfRunUp) {
  TemporaryFolder folder;
  for (const int64_t samples : {1L, 1023L, 1024L, 1025L, 16000L}) {
    EXPECT_EQ(packets_of(tone_track(folder, 16000, 1, samples)), 1 + (samples + 1023) / 1024) << samples;
    EXPECT_FALSE(std::filesystem::exists(folder / "a.aac.part"));
  }
}

TEST(SoundTrack, IsTheSoundInStep) {
  TemporaryFolder folder;
  SoundTrackReader reader(tone_track(folder, 44100, 2, 44100));
  EXPECT_EQ(reader.sample_rate(), 44100);
  EXPECT_EQ(reader.channels(), 2);
  const auto before = read_sound(folder / "a.wav", 44100);
  const auto after = read_sound(folder / "a.aac", 44100);  // a bare stream: the run-up is still in it
  double error = 0;
  for (size_t i = 8000; i < 36000; ++i) error += std::pow(before[i] - after[i + 1024], 2);
  EXPECT_LT(std::sqrt(error / 28000), 0.01);  // a tenth of a millisecond out of step gives 0.1
}

TEST(SoundTrack, ChoosesRateAndChannels) {
  struct Row {
    int rate, channels, track_rate, track_channels;
  };
  TemporaryFolder folder;
  for (const Row& row : {Row{16000, 1, 16000, 1}, Row{8000, 1, 48000, 1}, Row{37800, 2, 48000, 2},
                         Row{48000, 6, 48000, 2}, Row{24000, 2, 24000, 2}}) {
    SoundTrackReader reader(tone_track(folder, row.rate, row.channels, row.rate / 2));
    EXPECT_EQ(reader.sample_rate(), row.track_rate);
    EXPECT_EQ(reader.channels(), row.track_channels);
    EXPECT_NEAR(static_cast<double>(read_sound(folder / "a.aac", 16000).size()), 8000, 2 * 1024);
  }
}

TEST(SoundTrack, MixesSoundsAndClips) {
  TemporaryFolder folder;
  const auto low = [](double t, int) { return 0.6 * std::sin(2 * M_PI * 200 * t); };
  testing::write_wav(folder / "a.wav", 16000, 1, 16000, low);
  testing::write_wav(folder / "b.wav", 48000, 2, 24000, low);  // half as long, another rate, two channels
  encode_sound_track({folder / "a.wav", folder / "b.wav"}, folder / "mix.aac", 0);
  const auto mix = read_sound(folder / "mix.aac", 16000);
  const auto loudest = [&mix](size_t from, size_t to) {
    float most = 0;
    for (size_t i = from; i < to; ++i) most = std::max(most, std::abs(mix[i]));
    return most;
  };
  EXPECT_NEAR(loudest(4000, 8000), 1.0, 0.12);  // 1.2, clipped, and a codec's ripple
  EXPECT_NEAR(loudest(11000, 16000), 0.6, 0.05);
  EXPECT_EQ(packets_of(folder / "mix.aac"), 17);
}

TEST(SoundTrack, IsCutWhereToldTo) {
  TemporaryFolder folder;
  testing::write_wav(folder / "a.wav", 16000, 1, 160000, testing::tone);
  encode_sound_track({folder / "a.wav"}, folder / "a.aac", 1.92);
  EXPECT_EQ(packets_of(folder / "a.aac"), 1 + 30);
}

TEST(SoundTrack, HasTheSameBytesEveryTime) {
  TemporaryFolder folder;
  const auto sounds = std::vector{media_file("stereo44k.wav"), media_file("formats/chirp.mp3")};
  encode_sound_track(sounds, folder / "a.aac", 0);
  encode_sound_track(sounds, folder / "b.aac", 0);
  EXPECT_TRUE(file_bytes(folder / "a.aac") == file_bytes(folder / "b.aac"));
}

TEST(SoundTrack, CanBeReadFromAnyTime) {
  TemporaryFolder folder;
  encode_sound_track({media_file("stereo44k.wav")}, folder / "a.aac", 0);
  std::vector<SoundPacket> all;
  SoundTrackReader whole(folder / "a.aac");
  while (auto packet = whole.next()) all.push_back(*packet);
  ASSERT_GT(all.size(), 60U);
  EXPECT_EQ(all[0].start_sample, -1024);
  EXPECT_EQ(whole.position(), all.back().start_sample + 1024);

  SoundTrackReader later(folder / "a.aac", 1.0);
  EXPECT_EQ(later.position(), 45056);  // the first multiple of 1024 from 44100 on
  EXPECT_EQ(later.next()->data, all[45].data);
  EXPECT_EQ(SoundTrackReader(folder / "a.aac", 99).next(), std::nullopt);

  for (const int64_t frame : {25, 3, 10, 10, 0, 25}) {  // forwards, backwards, staying
    whole.seek_to_frame(frame, 25);
    const auto packet = whole.next();
    ASSERT_TRUE(packet.has_value());
    const int64_t start = frame == 0 ? -1024 : (frame * 1764 + 1023) / 1024 * 1024;
    EXPECT_EQ(packet->start_sample, start) << frame;
    EXPECT_EQ(packet->data, all[start / 1024 + 1].data);
  }
}

TEST(SoundTrack, RefusesBadSoundsAndLeavesNothingBehind) {
  TemporaryFolder folder;
  testing::write_wav(folder / "good.wav", 16000, 1, 16000, testing::tone);
  testing::write_wav(folder / "empty.wav", 16000, 1, 0, testing::tone);
  for (const char* bad : {"missing.wav", "empty.wav"}) {
    EXPECT_THAT(message_of<InputError>([&] {
                  encode_sound_track({folder / "good.wav", folder / bad}, folder / "a.aac", 0);
                }),
                HasSubstr(bad));
    EXPECT_FALSE(std::filesystem::exists(folder / "a.aac"));
    EXPECT_FALSE(std::filesystem::exists(folder / "a.aac.part"));
  }
}

TEST(SoundTrack, RefusesDamagedTracks) {
  TemporaryFolder folder;
  encode_sound_track({media_file("stereo44k.wav")}, folder / "a.aac", 0);
  auto bytes = file_bytes(folder / "a.aac");
  testing::write_file(folder / "cut.aac", {bytes.begin(), bytes.end() - 5});
  EXPECT_THAT(message_of<InputError>([&] { packets_of(folder / "cut.aac"); }), HasSubstr("cut.aac"));
  std::fill(bytes.begin() + 5000, bytes.begin() + 6000, 0);
  testing::write_file(folder / "bad.aac", bytes);
  EXPECT_THAT(message_of<InputError>([&] { packets_of(folder / "bad.aac"); }), HasSubstr("bad.aac"));
  testing::write_text(folder / "text.aac", "This is not a sound track.\n");
  EXPECT_THAT(message_of<InputError>([&] { packets_of(folder / "text.aac"); }), HasSubstr("text.aac"));
  testing::write_text(folder / "empty.aac", "");
  EXPECT_THAT(message_of<InputError>([&] { packets_of(folder / "empty.aac"); }), HasSubstr("empty"));
}

}  // namespace
}  // namespace latentcast
