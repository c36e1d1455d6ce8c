#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "latentcast/error.h"

namespace latentcast {

/// Up to 8 bytes as an unsigned number.
inline uint64_t read_little_endian(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  return value;
}

/// Reads forwards through bytes and never past their end: then it throws InputError with `what`.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string what) : bytes_(bytes), what_(std::move(what)) {}

  size_t left() const { return bytes_.size(); }

  std::span<const std::byte> take(uint64_t count) {
    if (count > bytes_.size())
      throw InputError(what_ + " ends too early. The file is damaged: download it again.");
    const auto taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }

  /// A number of `count` bytes.
  uint64_t number(size_t count) { return read_little_endian(take(count)); }

  std::string_view text(uint64_t count) {
    const auto taken = take(count);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  /// Up to a line feed, which is taken too.
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) take(bytes_.size() + 1);
    const std::string_view taken = text(end);
    take(1);
    return taken;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string what_;
};

}  // namespace latentcast
