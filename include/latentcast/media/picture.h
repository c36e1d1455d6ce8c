#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace latentcast {

/// An 8-bit colour picture, upright, rows from the top: rgb[(y * width + x) * 3 + channel].
struct Picture {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;
};

/// A picture's pixels that are not black: inside[y * width + x] is 1 where any colour channel is above 0.
struct Mask {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> inside;
};

/// Reads any picture that FFmpeg reads: alpha dropped (not blended), grey and palettes expanded, turned
/// upright as its EXIF orientation says. Throws InputError naming the file if it is missing, no picture, cut
/// short, in CMYK, or more than 16384 pixels on a side.
Picture read_picture(const std::filesystem::path& path);

/// read_picture() as a mask; the same errors.
Mask read_mask(const std::filesystem::path& path);

/// Scales the shorter side to min(width, height) as Pillow's bilinear filter does on 8-bit pixels, and cuts
/// the middle `width` x `height` out (black where the picture is too short). Exactly what torchvision's
/// Resize and CenterCrop give.
Picture resize_and_crop(const Picture& picture, int width, int height);

}  // namespace latentcast
