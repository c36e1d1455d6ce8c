// What a whole run promises: the same bytes again, the same frames from both ways of decoding, sound and
// picture of the same length, and the same job again from its job.yaml.

#include <cmath>
#include <cstring>
#include <regex>
#include <sstream>

#include "files.h"
#include "program.h"
#include "tiny_run.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/media/video_info.h"
#include "latentcast/weights/safetensors.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr double kFrame = 0.04;

/// Cheap: one clip of 12 frames in one step.
const Options kQuick = {{"num_clip", "1"}, {"infer_frames", "12"}, {"sample_steps", "1"}};

Options quick_with(const Options& more) {
  Options options = more;
  options.insert(kQuick.begin(), kQuick.end());
  return options;
}

std::vector<std::string> segments(const fs::path& run_dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(run_dir / "segments")) {
    if (entry.path().extension() == ".ts") {
      names.push_back(entry.path().filename());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void expect_same_bytes(const fs::path& a, const fs::path& b) {
  EXPECT_TRUE(read_bytes(a / "video.mp4") == read_bytes(b / "video.mp4"));
  ASSERT_EQ(segments(a), segments(b));
  for (const std::string& name : segments(a)) {
    EXPECT_TRUE(read_bytes(a / "segments" / name) == read_bytes(b / "segments" / name)) << name;
  }
}

fs::path speech_of(const fs::path& folder, double seconds) {
  const std::vector<int16_t> speech = read_wav(data_folder() / "tiny" / "speech.wav");
  write_wav(folder / "speech.wav", repeated(speech, static_cast<size_t>(std::lround(seconds * 16000))));
  return folder / "speech.wav";
}

TEST(Run, GivesTheSameBytesAgain) {
  const TemporaryFolder folder;
  render_tiny(folder.path() / "a");
  render_tiny(folder.path() / "b");
  EXPECT_EQ(segments(folder.path() / "a").size(), 2u);
  expect_same_bytes(folder.path() / "a", folder.path() / "b");
  render_tiny(folder.path() / "c", {{"base_seed", "2"}});
  EXPECT_FALSE(read_bytes(folder.path() / "a/video.mp4") == read_bytes(folder.path() / "c/video.mp4"))
      << "another seed must give another video, or this test sees nothing";
}

/// The largest difference of two traces' frames, of 255.
int largest_frame_difference(const TensorArchive& a, const TensorArchive& b) {
  const TensorView &x = *a.find("frames"), &y = *b.find("frames");
  EXPECT_EQ(x.shape, y.shape);
  int largest = 0;
  for (size_t i = 0; i < std::min(x.bytes.size(), y.bytes.size()); ++i) {
    largest = std::max(largest, std::abs(static_cast<int>(x.bytes[i]) - static_cast<int>(y.bytes[i])));
  }
  return largest;
}

/// All but what the decoder gave.
void expect_same_latents(const TensorArchive& a, const TensorArchive& b) {
  ASSERT_EQ(a.names(), b.names());
  int compared = 0;
  for (const std::string& name : a.names()) {
    if (!name.starts_with("frame")) {
      const TensorView &x = *a.find(name), &y = *b.find(name);
      EXPECT_TRUE(x.shape == y.shape && std::equal(x.bytes.begin(), x.bytes.end(), y.bytes.begin())) << name;
      compared += name.starts_with("block");
    }
  }
  EXPECT_GT(compared, 0);
}

struct Clips {
  const char *num_clip, *infer_frames;
  int64_t frames;  ///< decoded, less the 3 dropped
};

void PrintTo(const Clips& clips, std::ostream* out) {
  *out << clips.num_clip << " of " << clips.infer_frames;
}

class Decoding : public ::testing::TestWithParam<Clips> {};

TEST_P(Decoding, BatchAndOnlineAgree) {
  const TemporaryFolder folder;
  Options options = {
      {"num_clip", GetParam().num_clip}, {"infer_frames", GetParam().infer_frames}, {"sample_steps", "2"}};
  for (const char* mode : {"online", "batch"}) {
    options["decode"] = mode;
    options["trace"] = folder.path() / (std::string(mode) + ".safetensors");
    render_tiny(folder.path() / mode, options);
  }
  const TensorArchive online = open_safetensors(folder.path() / "online.safetensors");
  const TensorArchive batch = open_safetensors(folder.path() / "batch.safetensors");
  EXPECT_LE(largest_frame_difference(online, batch), 1);
  EXPECT_EQ(online.find("frames")->shape.front(), GetParam().frames);
  expect_same_latents(online, batch);
}

INSTANTIATE_TEST_SUITE_P(BlocksAClip, Decoding,
                         ::testing::Values(Clips{"3", "12", 33}, Clips{"2", "48", 93}, Clips{"1", "96", 93}),
                         [](const auto& info) { return std::string("Frames") + info.param.infer_frames; });

/// What ffprobe says of the streams' lengths: {video, audio}.
std::map<std::string, double> stream_seconds(const fs::path& video) {
  const ProgramResult probe = run_program({"ffprobe", "-v", "error", "-show_entries",
                                           "stream=codec_type,duration", "-of", "csv=p=0", video.string()});
  EXPECT_EQ(probe.exit_code, 0) << probe.err;
  std::map<std::string, double> seconds;
  std::istringstream lines(probe.out);
  for (std::string line; std::getline(lines, line);) {
    const size_t comma = line.find(',');
    seconds[line.substr(0, comma)] = std::stod(line.substr(comma + 1));
  }
  return seconds;
}

void expect_lengths(const fs::path& video, double picture, double sound) {
  const std::map<std::string, double> by_ffprobe = stream_seconds(video);
  ASSERT_EQ(by_ffprobe.size(), 2u);
  EXPECT_NEAR(by_ffprobe.at("video"), picture, kFrame + 1e-6);
  EXPECT_NEAR(by_ffprobe.at("audio"), sound, kFrame + 1e-6);
  const VideoInfo info = probe_video(video);
  EXPECT_NEAR(info.video_seconds, picture, kFrame + 1e-6);
  EXPECT_NEAR(info.sound_seconds, sound, kFrame + 1e-6);
  EXPECT_EQ(info.fps, 25);
}

TEST(Run, SoundAndPictureLastAsLongAsTheSpeech) {
  const TemporaryFolder folder;
  render_tiny(folder.path() / "run", {{"audio", speech_of(folder.path(), 7.7)}, {"sample_steps", "1"}});
  EXPECT_EQ(segments(folder.path() / "run").size(), 4u) << "the public rule: 4 clips, 7.68 s";
  expect_lengths(folder.path() / "run/video.mp4", 7.7, 7.7);
}

/// Every frame's pixels, one after the other.
std::string raw_frames(const fs::path& video) {
  const fs::path raw = video.string() + ".raw";
  const ProgramResult result =
      run_program({"ffmpeg", "-v", "error", "-i", video.string(), "-f", "rawvideo", raw.string()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return read_bytes(raw);
}

TEST(Run, DroppingTheFirstFramesShiftsThePictureOnly) {
  const TemporaryFolder folder;
  const fs::path hold = folder.path() / "hold", drop = folder.path() / "drop";
  // 55 frames of 5 * 12; without loss, so that frames can be compared.
  Options options = {
      {"audio", speech_of(folder.path(), 2.2)}, {"sample_steps", "1"}, {"infer_frames", "12"}, {"crf", "0"}};
  render_tiny(hold, options);
  options["first_frames"] = "drop";
  render_tiny(drop, options);
  expect_lengths(hold / "video.mp4", 2.2, 2.2);
  expect_lengths(drop / "video.mp4", 2.2, 2.2);
  const std::string held = raw_frames(hold / "video.mp4"), dropped = raw_frames(drop / "video.mp4");
  const size_t frame = 64 * 64 * 3 / 2;
  ASSERT_EQ(held.size(), 55 * frame);
  ASSERT_EQ(dropped.size(), 55 * frame);
  EXPECT_TRUE(held.substr(3 * frame) == dropped.substr(0, 52 * frame));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(held.substr(i * frame, frame) == dropped.substr(0, frame))
        << "frame " << i << " is not the held one";
  }
  EXPECT_FALSE(held.substr(4 * frame, frame) == dropped.substr(0, frame))
      << "frames that don't differ show nothing";
}

TEST(Run, WithDroppedFramesASoundThatFillsItsClipsIsNotCut) {
  const TemporaryFolder folder;
  render_tiny(folder.path() / "run", {{"audio", speech_of(folder.path(), 2.4)},  // 60 frames, 5 clips of 12
                                      {"first_frames", "drop"},
                                      {"sample_steps", "1"},
                                      {"infer_frames", "12"},
                                      {"crf", "0"}});
  expect_lengths(folder.path() / "run/video.mp4", 2.4, 2.4);
  const std::string frames = raw_frames(folder.path() / "run/video.mp4");
  const size_t frame = 64 * 64 * 3 / 2;
  ASSERT_EQ(frames.size(), 60 * frame);
  for (size_t i = 57; i < 60; ++i) {
    EXPECT_TRUE(frames.substr(i * frame, frame) == frames.substr(56 * frame, frame)) << "frame " << i;
  }
  EXPECT_FALSE(frames.substr(55 * frame, frame) == frames.substr(56 * frame, frame));
}

TEST(Run, EndsAfterOneClip) {
  const TemporaryFolder folder;
  render_tiny(folder.path() / "run", {{"num_clip", "1"}, {"sample_steps", "1"}});
  EXPECT_EQ(segments(folder.path() / "run").size(), 1u);
  EXPECT_EQ(probe_video(folder.path() / "run/video.mp4").frames, 48);
  expect_lengths(folder.path() / "run/video.mp4", 1.92, 1.92);
}

std::string job_line(const fs::path& run_dir, const std::string& key) {
  const std::string text = read_bytes(run_dir / "job.yaml");
  std::smatch match;
  return std::regex_search(text, match, std::regex("\n" + key + ": ([^\n]*)\n")) ? match[1].str() : "";
}

TEST(Run, IsRepeatedByItsJobFile) {
  const TemporaryFolder folder;
  const fs::path first = folder.path() / "first", second = folder.path() / "second",
                 third = folder.path() / "third";
  // No seed is given: it is drawn, and job.yaml keeps it. Flags win over the file.
  write_bytes(folder.path() / "job.yaml", "base_seed: -1\nsample_steps: 3\ninfer_frames: 24\ncrf: 30\n");
  render_tiny(first, quick_with({{"config", folder.path() / "job.yaml"}, {"base_seed", ""}, {"crf", "22"}}));
  EXPECT_EQ(job_line(first, "sample_steps"), "1");
  EXPECT_EQ(job_line(first, "infer_frames"), "12");
  EXPECT_EQ(job_line(first, "crf"), "22");
  EXPECT_THAT(job_line(first, "base_seed"), ::testing::MatchesRegex("[0-9]+"));

  const ProgramResult again =
      run_latentcast({"render", "--config", (first / "job.yaml").string(), "--run_dir", second.string()});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  expect_same_bytes(first, second);
  EXPECT_EQ(job_line(first, "base_seed"), job_line(second, "base_seed"));

  render_tiny(third, quick_with({{"base_seed", ""}}));
  EXPECT_NE(job_line(first, "base_seed"), job_line(third, "base_seed"));
}

TEST(Run, RefusesAFolderOfAnotherJob) {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  render_tiny(run, kQuick);
  const std::string video = read_bytes(run / "video.mp4");
  std::vector<std::string> args = {"render", "--config", (run / "job.yaml").string(), "--base_seed", "2"};
  const ProgramResult other = run_latentcast(args);
  EXPECT_EQ(other.exit_code, 64);
  EXPECT_THAT(other.err, HasSubstr("differs in base_seed"));
  EXPECT_TRUE(read_bytes(run / "video.mp4") == video) << "what is finished stands";
}

struct Formats {
  const char *sound, *picture;
  std::vector<std::string> how;  ///< to encode the picture
};

void PrintTo(const Formats& formats, std::ostream* out) { *out << formats.sound << ", " << formats.picture; }

class Reading : public ::testing::TestWithParam<Formats> {};

TEST_P(Reading, OtherFormats) {
  const TemporaryFolder folder;
  const fs::path tiny = data_folder() / "tiny";
  const fs::path sound = folder.path() / (std::string("speech.") + GetParam().sound);
  const fs::path picture = folder.path() / (std::string("portrait.") + GetParam().picture);
  const auto convert = [](const fs::path& from, const fs::path& to, const std::vector<std::string>& how) {
    std::vector<std::string> command = {"ffmpeg", "-v", "error", "-i", from.string()};
    command.insert(command.end(), how.begin(), how.end());
    command.push_back(to.string());
    const ProgramResult result = run_program(command);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  };
  convert(tiny / "speech.wav", sound, {});
  convert(tiny / "portrait.png", picture, GetParam().how);
  render_tiny(folder.path() / "run", quick_with({{"audio", sound}, {"image", picture}, {"num_clip", "2"}}));
  EXPECT_EQ(probe_video(folder.path() / "run/video.mp4").frames, 24);
  EXPECT_EQ(probe_video(folder.path() / "run/video.mp4").width, 64);
}

INSTANTIATE_TEST_SUITE_P(Run, Reading,
                         ::testing::Values(Formats{"mp3", "jpg", {"-q:v", "2"}}, Formats{"flac", "webp", {}},
                                           Formats{"m4a", "bmp", {}}, Formats{"ogg", "tiff", {}}),
                         [](const auto& info) {
                           return std::string(info.param.sound) + "_" + info.param.picture;
                         });

}  // namespace
}  // namespace latentcast::test
