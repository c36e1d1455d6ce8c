#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "latentcast/media/video_writer.h"

namespace latentcast::testing {

/// A file of tests/data/media.
std::filesystem::path media_file(const std::string& name);

/// One tensor of tests/data/media/expected.safetensors.
struct Expected {
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;
  std::vector<float> floats() const;
};
Expected expected_tensor(const std::string& name);

/// A folder of one test's own, removed at its end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::vector<uint8_t> file_bytes(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::vector<uint8_t>& bytes);
void write_text(const std::filesystem::path& path, const std::string& text);

/// A 16-bit wav file; `sample(seconds, channel)` in -1..1.
void write_wav(const std::filesystem::path& path, int rate, int channels, int64_t samples,
               const std::function<double(double, int)>& sample);

double tone(double seconds, int channel);

/// A sound track of that tone: a.aac in the folder, made of a.wav.
std::filesystem::path tone_track(const TemporaryFolder& folder, int rate, int channels, int64_t samples);

/// The size of most tests' videos.
inline const VideoSettings kSmall{96, 64};

/// A frame of one colour, as SegmentWriter takes it.
std::vector<uint8_t> plain_frame(const VideoSettings& settings, int y, int u, int v);

/// Frame `number` of a small moving picture, as SegmentWriter takes it.
std::vector<uint8_t> moving_frame(const VideoSettings& settings, int64_t number);

/// Frames [first, first + count) as a segment.
void write_segment(const std::filesystem::path& path, const VideoSettings& settings, int64_t first,
                   int64_t count, SoundTrackReader* sound);

/// 'path', as messages name files and shells take them.
std::string quoted(const std::filesystem::path& path);

/// What a shell command prints.
std::string output_of(const std::string& command);

/// What ffmpeg finds wrong with a video when it plays it; nothing if all is well.
std::string problems_of(const std::filesystem::path& video);

/// What an exception's message says; fails the test if nothing of type E is thrown.
template <typename E>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another exception: ") + error.what();
  }
  return "no exception";
}

}  // namespace latentcast::testing
