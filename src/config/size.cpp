#include "latentcast/config/size.h"

#include <cmath>
#include <string>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr int kMultiple = 64;
constexpr int kSmallestSide = 16;
constexpr int kLargestSide = 1 << 20;
constexpr int kTrials = 100;

// Scales between which the best one lies: with the rounding up to multiples at its worst, and with none of
// it.
struct ScaleRange {
  double least;
  double most;
};

ScaleRange scale_range(int width, int height, int64_t area) {
  const int64_t pixels = int64_t{width} * height;
  if (pixels <= area) return {0.1, 1.0};
  const int64_t excess = kMultiple - 1;
  const int64_t b = excess * (int64_t{width} + height);
  const int64_t c = excess * excess - area;
  // Exact before it is rounded once, which decides rows of the reference table.
  const auto discriminant = static_cast<__int128>(b) * b - static_cast<__int128>(2) * pixels * c;
  const double least = (-static_cast<double>(b) + std::sqrt(static_cast<double>(discriminant))) /
                       static_cast<double>(2 * pixels);
  return {least, std::sqrt(static_cast<double>(area) / static_cast<double>(pixels))};
}

int round_up(int side) { return (side + kMultiple - 1) / kMultiple * kMultiple; }

// The public code has another way out where no scale will do; no picture of usable size gets there.
FrameSize best_scaled(int width, int height, int64_t area) {
  const ScaleRange range = scale_range(width, height, area);
  for (int i = 0; i < kTrials; ++i) {
    const double scale = range.most - (range.most - range.least) * i / kTrials;
    const FrameSize size{round_up(static_cast<int>(width * scale)),
                         round_up(static_cast<int>(height * scale))};
    if (int64_t{size.width} * size.height <= area) return size;
  }
  return {};
}

std::string by(int width, int height) { return std::to_string(width) + "x" + std::to_string(height); }

}  // namespace

FrameSize fit_to_area(int image_width, int image_height, int64_t area) {
  if (image_width < kSmallestSide || image_height < kSmallestSide) {
    throw InputError("The picture is " + by(image_width, image_height) +
                     " pixels; the smallest usable picture is " + by(kSmallestSide, kSmallestSide) +
                     ". Use a larger one.");
  }
  if (image_width > kLargestSide || image_height > kLargestSide) {
    throw InputError("The picture is " + by(image_width, image_height) +
                     " pixels; no side may be longer than " + std::to_string(kLargestSide) +
                     ". Make it smaller.");
  }
  const FrameSize size = best_scaled(image_width, image_height, area);
  if (size.width < kMultiple || size.height < kMultiple) {
    throw InputError("The picture (" + by(image_width, image_height) + ") is too narrow for an area of " +
                     std::to_string(area) + " pixels: no side of the video can be shorter than " +
                     std::to_string(kMultiple) + ". Crop it to a less extreme shape, both sides at least " +
                     std::to_string(kMultiple) + ".");
  }
  return size;
}

}  // namespace latentcast
