#include "orientation.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

namespace latentcast {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr int kUpright = 1;
constexpr uint32_t kOrientationTag = 0x0112;
constexpr uint32_t kShortType = 3;

bool has(Bytes bytes, size_t at, std::string_view text) {
  return at <= bytes.size() && text.size() <= bytes.size() - at &&
         std::memcmp(bytes.data() + at, text.data(), text.size()) == 0;
}

/// `size` bytes as a number; 0 where the file has ended.
uint32_t number(Bytes bytes, size_t at, int size, bool big_endian) {
  if (at > bytes.size() || bytes.size() - at < static_cast<size_t>(size)) return 0;
  uint32_t value = 0;
  for (int i = 0; i < size; ++i) value = value << 8 | bytes[at + (big_endian ? i : size - 1 - i)];
  return value;
}

Bytes after(Bytes bytes, size_t at) { return at < bytes.size() ? bytes.subspan(at) : Bytes(); }

/// The first directory of a TIFF structure, which is what EXIF data are.
int from_tiff(Bytes tiff) {
  const bool big = has(tiff, 0, "MM");
  if (!big && !has(tiff, 0, "II")) return kUpright;
  const size_t directory = number(tiff, 4, 4, big);
  const uint32_t entries = number(tiff, directory, 2, big);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{i} * 12;
    if (entry + 12 > tiff.size()) break;
    if (number(tiff, entry, 2, big) != kOrientationTag) continue;
    const bool is_short = number(tiff, entry + 2, 2, big) == kShortType;
    return static_cast<int>(number(tiff, entry + 8, is_short ? 2 : 4, big));
  }
  return kUpright;
}

int from_jpeg(Bytes file) {
  constexpr uint8_t kApp1 = 0xE1;
  constexpr uint8_t kStartOfScan = 0xDA;
  size_t at = 2;
  while (at + 4 <= file.size() && file[at] == 0xFF) {
    const uint8_t marker = file[at + 1];
    if (marker == 0xFF) {  // padding
      ++at;
      continue;
    }
    if (marker == kStartOfScan) break;
    const size_t length = number(file, at + 2, 2, true);
    if (marker == kApp1 && has(file, at + 4, std::string_view("Exif\0\0", 6)))
      return from_tiff(after(file, at + 10));
    at += 2 + length;
  }
  return kUpright;
}

int from_png(Bytes file) {
  size_t at = 8;
  while (at + 12 <= file.size()) {
    if (has(file, at + 4, "eXIf")) return from_tiff(after(file, at + 8));
    at += 12 + size_t{number(file, at, 4, true)};
  }
  return kUpright;
}

int from_webp(Bytes file) {
  size_t at = 12;
  while (at + 8 <= file.size()) {
    const size_t length = number(file, at + 4, 4, false);
    if (has(file, at, "EXIF")) {
      const size_t prefix =
          has(file, at + 8, std::string_view("Exif\0\0", 6)) ? 6 : 0;  // some writers keep JPEG's
      return from_tiff(after(file, at + 8 + prefix));
    }
    at += 8 + length + length % 2;
  }
  return kUpright;
}

}  // namespace

int exif_orientation(Bytes file) {
  if (has(file, 0, "\xFF\xD8\xFF")) return from_jpeg(file);
  if (has(file, 0, "\x89PNG")) return from_png(file);
  if (has(file, 0, "RIFF") && has(file, 8, "WEBP")) return from_webp(file);
  return from_tiff(file);
}

Picture turn_upright(Picture picture, int orientation) {
  if (orientation < 2 || orientation > 8) return picture;
  const bool sides_swap = orientation >= 5;
  // Where an upright pixel lies in the stored picture: first exchange x and y, then count from the far side.
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Picture upright{picture.width, picture.height, {}};
  if (sides_swap) std::swap(upright.width, upright.height);
  upright.rgb.resize(picture.rgb.size());
  uint8_t* to = upright.rgb.data();
  for (int y = 0; y < upright.height; ++y) {
    for (int x = 0; x < upright.width; ++x) {
      int from_x = sides_swap ? y : x;
      int from_y = sides_swap ? x : y;
      if (from_right) from_x = picture.width - 1 - from_x;
      if (from_bottom) from_y = picture.height - 1 - from_y;
      const uint8_t* from = picture.rgb.data() + (static_cast<size_t>(from_y) * picture.width + from_x) * 3;
      to = std::copy_n(from, 3, to);
    }
  }
  return upright;
}

}  // namespace latentcast
