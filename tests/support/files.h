#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace latentcast::test {

/// A whole file. Throws std::runtime_error if it can't be read.
std::string read_bytes(const std::filesystem::path& path);
void write_bytes(const std::filesystem::path& path, const std::string& bytes);

/// Mono sound of 16 bits at 16 kHz, as the tests' own speech is.
std::vector<int16_t> read_wav(const std::filesystem::path& path);
void write_wav(const std::filesystem::path& path, const std::vector<int16_t>& samples);

/// `samples` again and again until there are `count`.
std::vector<int16_t> repeated(const std::vector<int16_t>& samples, size_t count);

}  // namespace latentcast::test
