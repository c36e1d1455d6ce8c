#include "files.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace latentcast::test {
namespace {

constexpr size_t kFirstChunk = 12;
constexpr uint32_t kRate = 16000;

template <typename T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error("can't read " + path.string());
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  if (!file) {
    throw std::runtime_error("can't write " + path.string());
  }
}

std::vector<int16_t> read_wav(const std::filesystem::path& path) {
  const std::string bytes = read_bytes(path);
  for (size_t at = kFirstChunk; at + 8 <= bytes.size();) {
    uint32_t size = 0;
    std::memcpy(&size, bytes.data() + at + 4, 4);
    if (bytes.compare(at, 4, "data") == 0 && at + 8 + size <= bytes.size()) {
      std::vector<int16_t> samples(size / 2);
      std::memcpy(samples.data(), bytes.data() + at + 8, samples.size() * 2);
      return samples;
    }
    at += 8 + size;
  }
  throw std::runtime_error(path.string() + " is not a whole wav file");
}

void write_wav(const std::filesystem::path& path, const std::vector<int16_t>& samples) {
  const auto size = static_cast<uint32_t>(samples.size() * 2);
  std::string bytes = "RIFF";
  put<uint32_t>(bytes, 36 + size);
  bytes += "WAVEfmt ";
  put<uint32_t>(bytes, 16);
  put<uint16_t>(bytes, 1);  // PCM
  put<uint16_t>(bytes, 1);  // mono
  put<uint32_t>(bytes, kRate);
  put<uint32_t>(bytes, kRate * 2);
  put<uint16_t>(bytes, 2);
  put<uint16_t>(bytes, 16);
  bytes += "data";
  put<uint32_t>(bytes, size);
  bytes.append(reinterpret_cast<const char*>(samples.data()), size);
  write_bytes(path, bytes);
}

std::vector<int16_t> repeated(const std::vector<int16_t>& samples, size_t count) {
  std::vector<int16_t> result(count);
  for (size_t i = 0; i < count; ++i) {
    result[i] = samples[i % samples.size()];
  }
  return result;
}

}  // namespace latentcast::test
