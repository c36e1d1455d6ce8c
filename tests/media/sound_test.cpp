#include "latentcast/media/sound.h"

#include <algorithm>
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

/// What the files formats/chirp.* were made of.
double chirp(double t) { return 0.5 * std::sin(2 * M_PI * (300 * t + 200 * t * t)); }

/// Root mean square difference from the chirp, leaving the ends out, where codecs fade. One sample out of
/// step gives at least 0.03; LAME's scaling by 0.95 alone gives 0.018.
double distance_from_chirp(const std::vector<float>& samples, int rate) {
  double sum = 0;
  const size_t margin = static_cast<size_t>(rate) / 10;
  for (size_t i = margin; i + margin < samples.size(); ++i) {
    const double difference = samples[i] - chirp(static_cast<double>(i) / rate);
    sum += difference * difference;
  }
  return std::sqrt(sum / static_cast<double>(samples.size() - 2 * margin));
}

TEST(Sound, ResamplesStereoAsThePublicCodeDoes) {
  const auto expected = testing::expected_tensor("stereo44k.wav@16000").floats();
  const auto samples = read_sound(media_file("stereo44k.wav"));
  ASSERT_EQ(samples.size(), 27200U);
  ASSERT_EQ(expected.size(), samples.size());
  float worst = 0;
  for (size_t i = 0; i < samples.size(); ++i) worst = std::max(worst, std::abs(samples[i] - expected[i]));
  RecordProperty("worst", std::to_string(worst));
  EXPECT_LE(worst, 1e-5F);  // the cases ask for 2e-3
}

TEST(Sound, KeepsSamplesThatHaveTheRateAlready) {
  TemporaryFolder folder;
  testing::write_wav(folder / "a.wav", 16000, 1, 5001, testing::tone);
  const auto samples = read_sound(folder / "a.wav");
  ASSERT_EQ(samples.size(), 5001U);
  for (size_t i = 0; i < samples.size(); ++i) {
    ASSERT_EQ(samples[i], static_cast<float>(std::lround(testing::tone(i / 16000.0, 0) * 32767)) / 32768.0F)
        << i;
  }
}

TEST(Sound, TakesTheMeanOfChannels) {
  TemporaryFolder folder;
  testing::write_wav(folder / "a.wav", 16000, 3, 100, [](double, int channel) { return 0.25 * channel; });
  for (const float sample : read_sound(folder / "a.wav")) EXPECT_NEAR(sample, 0.25, 1e-4);
}

TEST(Sound, CountsSamplesUpwards) {
  TemporaryFolder folder;
  testing::write_wav(folder / "a.wav", 44100, 1, 1000, testing::tone);
  EXPECT_EQ(read_sound(folder / "a.wav", 16000).size(), 363U);  // ceil(1000 * 16000 / 44100)
  testing::write_wav(folder / "b.wav", 44100, 1, 1, testing::tone);
  EXPECT_EQ(read_sound(folder / "b.wav", 16000).size(), 1U);
  testing::write_wav(folder / "c.wav", 8000, 1, 777, testing::tone);
  EXPECT_EQ(read_sound(folder / "c.wav", 16000).size(), 1554U);
}

struct Format {
  const char* file;
  int rate;
  int64_t samples;
  int64_t tolerance;
  double distance;
};

class SoundFormat : public ::testing::TestWithParam<Format> {};

TEST_P(SoundFormat, IsReadInStepWithWhatWasEncoded) {
  const Format& format = GetParam();
  const auto path = media_file(std::string("formats/") + format.file);
  const auto samples = read_sound(path, format.rate);
  EXPECT_NEAR(static_cast<double>(samples.size()), static_cast<double>(format.samples), format.tolerance);
  EXPECT_LT(distance_from_chirp(samples, format.rate), format.distance);
  const SoundInfo info = probe_sound(path);
  EXPECT_EQ(info.sample_rate, format.rate);
  EXPECT_EQ(info.channels, 1);
  EXPECT_NEAR(info.seconds, static_cast<double>(samples.size()) / format.rate, 0.5e-3);
  EXPECT_NEAR(static_cast<double>(read_sound(path).size()), samples.size() * 16000.0 / format.rate, 1);
}

INSTANTIATE_TEST_SUITE_P(All, SoundFormat,
                         ::testing::Values(Format{"chirp.flac", 44100, 57330, 0, 1e-4},
                                           Format{"chirp.mp3", 44100, 57330, 0, 2e-2},
                                           Format{"chirp.m4a", 44100, 57330, 1024, 5e-3},
                                           Format{"chirp.ogg", 44100, 57330, 0, 2e-2},
                                           Format{"chirp.opus", 48000, 62400, 400, 2e-2}),
                         [](const auto& info) {
                           return std::string(std::filesystem::path(info.param.file).extension()).substr(1);
                         });

TEST(Sound, ProbesAWav) {
  const SoundInfo info = probe_sound(media_file("stereo44k.wav"));
  EXPECT_NEAR(info.seconds, 1.7, 1e-4);
  EXPECT_EQ(info.sample_rate, 44100);
  EXPECT_EQ(info.channels, 2);
}

TEST(Sound, ReadsNamesThatLookLikeProtocols) {
  TemporaryFolder folder;
  testing::write_wav(folder / "http:a%03d.wav", 16000, 1, 100, testing::tone);
  EXPECT_EQ(read_sound(folder / "http:a%03d.wav").size(), 100U);
}

TEST(Sound, RefusesWhatIsNoSound) {
  TemporaryFolder folder;
  testing::write_wav(folder / "empty.wav", 16000, 1, 0, testing::tone);
  testing::write_text(folder / "text.wav", "This is not a sound at all, only a few words.\n");
  testing::write_text(folder / "nothing.mp3", "");
  const auto flac = testing::file_bytes(media_file("formats/chirp.m4a"));
  testing::write_file(folder / "cut.m4a", {flac.begin(), flac.begin() + 4000});
  const std::vector<std::filesystem::path> bad = {
      folder / "empty.wav",   folder / "text.wav", folder / "nothing.mp3", folder / "cut.m4a",
      folder / "missing.wav", folder.path(),       media_file("tall.png"), media_file("pose30.mkv")};
  for (const auto& path : bad) {
    EXPECT_THAT(message_of<InputError>([&] { read_sound(path); }),
                HasSubstr("the sound '" + path.string() + "'"));
    EXPECT_THAT(message_of<InputError>([&] { probe_sound(path); }),
                HasSubstr("the sound '" + path.string() + "'"));
  }
}

TEST(Sound, RefusesSamplesThatAreNotNumbers) {
  TemporaryFolder folder;
  testing::write_wav(folder / "nan.wav", 16000, 2, 100, [](double, int) { return 0.0; });
  auto bytes = testing::file_bytes(folder / "nan.wav");
  bytes[20] = 3;   // float samples
  bytes[34] = 32;  // bits
  bytes[32] = 8;   // bytes of a sample of both channels
  std::fill(bytes.begin() + 100, bytes.begin() + 104, 0xFF);
  testing::write_file(folder / "nan.wav", bytes);
  EXPECT_THAT(message_of<InputError>([&] { read_sound(folder / "nan.wav"); }), HasSubstr("not numbers"));
}

}  // namespace
}  // namespace latentcast
