#include "latentcast/media/picture.h"

#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "frame_to_rgb.h"
#include "jpeg_picture.h"
#include "media_input.h"
#include "orientation.h"
#include "resample.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr char kWhat[] = "picture";
constexpr int64_t kLargestFile = int64_t{1} << 30;
constexpr int kExactFlags = SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP;

std::vector<uint8_t> read_bytes(const std::filesystem::path& path) {
  require_input_file(path, kWhat);
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const int64_t size = file ? static_cast<int64_t>(file.tellg()) : -1;
  if (size < 0) throw_unreadable(path, kWhat, "it can't be opened; check its rights");
  if (size == 0) throw_unreadable(path, kWhat, "it is empty; give another file");
  if (size > kLargestFile) throw_unreadable(path, kWhat, "it is larger than 1 GiB; give a picture");
  std::vector<uint8_t> bytes(static_cast<size_t>(size));
  file.seekg(0);
  if (!file.read(reinterpret_cast<char*>(bytes.data()), size))
    throw_unreadable(path, kWhat, "reading it failed");
  return bytes;
}

bool begins_with(const std::vector<uint8_t>& bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

/// FFmpeg's PNG decoder shows what there is of a file that was cut short, black below.
void require_png_end(const std::vector<uint8_t>& bytes, const std::filesystem::path& path) {
  size_t at = 8;
  while (at + 12 <= bytes.size()) {
    if (std::memcmp(bytes.data() + at + 4, "IEND", 4) == 0) return;
    const size_t length = size_t{bytes[at]} << 24 | size_t{bytes[at + 1]} << 16 | size_t{bytes[at + 2]} << 8 |
                          size_t{bytes[at + 3]};
    at += 12 + length;
  }
  throw_unreadable(path, kWhat, "it is cut short; get the whole file");
}

Picture decode_by_ffmpeg(std::vector<uint8_t> bytes, const std::filesystem::path& path) {
  MediaInput input(std::move(bytes), path, AVMEDIA_TYPE_VIDEO, kWhat);
  const AVFrame* frame = input.next_frame();
  if (!frame) input.fail("it is damaged or cut short; get the whole file");
  return RgbConverter(kExactFlags, path).convert(*frame);
}

}  // namespace

Picture read_picture(const std::filesystem::path& path) {
  std::vector<uint8_t> bytes = read_bytes(path);
  const int orientation = exif_orientation(bytes);
  if (begins_with(bytes, "\xFF\xD8\xFF")) return turn_upright(decode_jpeg(bytes, path), orientation);
  if (begins_with(bytes, "\x89PNG\r\n\x1A\n")) require_png_end(bytes, path);
  return turn_upright(decode_by_ffmpeg(std::move(bytes), path), orientation);
}

Mask read_mask(const std::filesystem::path& path) {
  const Picture picture = read_picture(path);
  Mask mask{picture.width, picture.height, {}};
  mask.inside.resize(picture.rgb.size() / 3);
  for (size_t i = 0; i < mask.inside.size(); ++i) {
    const uint8_t* pixel = picture.rgb.data() + i * 3;
    mask.inside[i] = pixel[0] > 0 || pixel[1] > 0 || pixel[2] > 0 ? 1 : 0;
  }
  return mask;
}

Picture resize_and_crop(const Picture& picture, int width, int height) {
  if (picture.width <= 0 || picture.height <= 0 || width <= 0 || height <= 0) {
    throw InternalError("a picture of no size can't be resized");
  }
  return {width, height,
          resample<EightBitPixels>(picture.rgb, picture.width, picture.height, width, height, 0)};
}

}  // namespace latentcast
