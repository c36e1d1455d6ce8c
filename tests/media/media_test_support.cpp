#include "media_test_support.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "latentcast/media/sound_track.h"

namespace latentcast::testing {

namespace fs = std::filesystem;

fs::path media_file(const std::string& name) {
  const char* data = std::getenv("LATENTCAST_TEST_DATA");
  if (!data) throw std::runtime_error("LATENTCAST_TEST_DATA is not set");
  return fs::path(data) / "media" / name;
}

std::vector<float> Expected::floats() const {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

Expected expected_tensor(const std::string& name) {
  std::ifstream file(media_file("expected.safetensors"), std::ios::binary);
  uint64_t length = 0;
  file.read(reinterpret_cast<char*>(&length), sizeof(length));
  std::string header(length, ' ');
  file.read(header.data(), static_cast<std::streamsize>(length));
  const auto entry = nlohmann::json::parse(header).at(name);
  const auto begin = entry["data_offsets"][0].get<int64_t>();
  Expected expected{entry["shape"], {}};
  expected.bytes.resize(entry["data_offsets"][1].get<int64_t>() - begin);
  file.seekg(static_cast<std::streamoff>(sizeof(length) + length) + begin);
  if (!file.read(reinterpret_cast<char*>(expected.bytes.data()),
                 static_cast<std::streamsize>(expected.bytes.size()))) {
    throw std::runtime_error("expected.safetensors is cut short");
  }
  return expected;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "latentcast-media-XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<uint8_t> file_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("can't open " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, const std::vector<uint8_t>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void write_text(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

void write_wav(const fs::path& path, int rate, int channels, int64_t samples,
               const std::function<double(double, int)>& sample) {
  std::vector<uint8_t> out;
  const auto text = [&out](const char* letters) { out.insert(out.end(), letters, letters + 4); };
  const auto number = [&out](int64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  const int64_t size = samples * channels * 2;
  text("RIFF"), number(36 + size, 4), text("WAVE");
  text("fmt "), number(16, 4), number(1, 2), number(channels, 2), number(rate, 4);
  number(int64_t{rate} * channels * 2, 4), number(channels * 2, 2), number(16, 2);
  text("data"), number(size, 4);
  for (int64_t i = 0; i < samples; ++i) {
    for (int c = 0; c < channels; ++c) {
      number(std::lround(sample(static_cast<double>(i) / rate, c) * 32767), 2);
    }
  }
  write_file(path, out);
}

double tone(double seconds, int channel) { return 0.4 * std::sin(2 * M_PI * 440 * (channel + 1) * seconds); }

fs::path tone_track(const TemporaryFolder& folder, int rate, int channels, int64_t samples) {
  write_wav(folder / "a.wav", rate, channels, samples, tone);
  encode_sound_track({folder / "a.wav"}, folder / "a.aac", 0);
  return folder / "a.aac";
}

std::vector<uint8_t> plain_frame(const VideoSettings& settings, int y, int u, int v) {
  const size_t pixels = static_cast<size_t>(settings.width) * settings.height;
  std::vector<uint8_t> frame(pixels, static_cast<uint8_t>(y));
  frame.resize(pixels + pixels / 4, static_cast<uint8_t>(u));
  frame.resize(pixels + pixels / 2, static_cast<uint8_t>(v));
  return frame;
}

std::vector<uint8_t> moving_frame(const VideoSettings& settings, int64_t number) {
  std::vector<uint8_t> frame;
  const auto add_plane = [&](int width, int height, const auto& level) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) frame.push_back(static_cast<uint8_t>(16 + level(x, y) % 220));
    }
  };
  add_plane(settings.width, settings.height, [&](int x, int y) { return x * 3 + y + number * 5; });
  add_plane(settings.width / 2, settings.height / 2, [&](int, int y) { return y * 6 + number; });
  add_plane(settings.width / 2, settings.height / 2, [&](int x, int y) { return (x ^ y) + number * 2; });
  return frame;
}

void write_segment(const fs::path& path, const VideoSettings& settings, int64_t first, int64_t count,
                   SoundTrackReader* sound) {
  SegmentWriter writer(path, settings, first, sound);
  for (int64_t i = 0; i < count; ++i) writer.write(moving_frame(settings, first + i));
  if (writer.close() != count) throw std::runtime_error("another number of frames than were written");
}

std::string quoted(const fs::path& path) { return std::string("'").append(path.string()).append("'"); }

std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  std::string text;
  char buffer[256];
  while (pipe && std::fgets(buffer, sizeof(buffer), pipe.get())) text += buffer;
  return text;
}

std::string problems_of(const fs::path& video) {
  return output_of("ffmpeg -v error -xerror -i " + quoted(video) + " -f null - 2>&1");
}

}  // namespace latentcast::testing
