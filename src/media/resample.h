#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace latentcast {

/// Where a picture lands: scaled so that its shorter side is min(width, height), then cut in the middle.
/// `left` and `top` are the cut's corner in the scaled picture, negative where that is too short and must be
/// padded.
struct CropPlan {
  int scaled_width = 0;
  int scaled_height = 0;
  int left = 0;
  int top = 0;
};

/// torchvision's Resize(min(width, height)) and CenterCrop((height, width)).
CropPlan plan_crop(int source_width, int source_height, int width, int height);

/// Which input pixels make up one output pixel, and by how much: weights[offset + i] for pixel first + i.
struct FilterRow {
  int first = 0;
  int count = 0;
  size_t offset = 0;
};
struct Filter {
  int begin = 0;  ///< first output pixel that is inside the scaled picture, counted in the cut
  std::vector<FilterRow> rows;
  std::vector<double> weights;
};

/// The triangle filter, widened when it shrinks, for outputs [start, start + length) of `scaled`.
Filter triangle_filter(int source, int scaled, int start, int length);

/// Pixels as whole numbers, rounded after each pass with Pillow's fixed-point weights.
struct EightBitPixels {
  using Pixel = uint8_t;
  using Weight = int32_t;
  using Sum = int32_t;
  static constexpr int kBits = 32 - 8 - 2;
  static Weight weight(double w) { return static_cast<Weight>((w < 0 ? -0.5 : 0.5) + w * (1 << kBits)); }
  static Sum zero() { return 1 << (kBits - 1); }
  static Pixel finish(Sum sum) { return static_cast<Pixel>(std::clamp(sum >> kBits, 0, 255)); }
};

struct FloatPixels {
  using Pixel = float;
  using Weight = float;
  using Sum = float;
  static Weight weight(double w) { return static_cast<Weight>(w); }
  static Sum zero() { return 0; }
  static Pixel finish(Sum sum) { return sum; }
};

/// Scales and cuts [height][width][3] pixels; pixels beyond the picture become `blank`. Only what the cut
/// needs is computed, so that a strip of extreme shape doesn't need a huge picture in between.
template <typename Kind>
std::vector<typename Kind::Pixel> resample(const std::vector<typename Kind::Pixel>& source, int source_width,
                                           int source_height, int width, int height,
                                           typename Kind::Pixel blank) {
  using Pixel = typename Kind::Pixel;
  const CropPlan plan = plan_crop(source_width, source_height, width, height);
  const Filter across = triangle_filter(source_width, plan.scaled_width, plan.left, width);
  const Filter down = triangle_filter(source_height, plan.scaled_height, plan.top, height);
  std::vector<typename Kind::Weight> weights(std::max(across.weights.size(), down.weights.size()));

  const int first_row = down.rows.front().first;
  const int rows = down.rows.back().first + down.rows.back().count - first_row;
  const size_t columns = across.rows.size();
  std::vector<Pixel> between(static_cast<size_t>(rows) * columns * 3);
  std::transform(across.weights.begin(), across.weights.end(), weights.begin(), Kind::weight);
  for (int y = 0; y < rows; ++y) {
    const Pixel* line = source.data() + static_cast<size_t>(first_row + y) * source_width * 3;
    Pixel* to = between.data() + y * columns * 3;
    for (const FilterRow& row : across.rows) {
      for (int c = 0; c < 3; ++c) {
        typename Kind::Sum sum = Kind::zero();
        for (int i = 0; i < row.count; ++i) sum += line[(row.first + i) * 3 + c] * weights[row.offset + i];
        *to++ = Kind::finish(sum);
      }
    }
  }

  std::vector<Pixel> result(static_cast<size_t>(width) * height * 3, blank);
  std::transform(down.weights.begin(), down.weights.end(), weights.begin(), Kind::weight);
  std::vector<typename Kind::Sum> sums(columns * 3);
  for (size_t y = 0; y < down.rows.size(); ++y) {
    const FilterRow& row = down.rows[y];
    std::fill(sums.begin(), sums.end(), Kind::zero());
    for (int i = 0; i < row.count; ++i) {
      const Pixel* line = between.data() + (row.first - first_row + i) * columns * 3;
      const auto weight = weights[row.offset + i];
      for (size_t x = 0; x < columns * 3; ++x) sums[x] += line[x] * weight;
    }
    Pixel* to = result.data() + ((down.begin + y) * width + across.begin) * 3;
    std::transform(sums.begin(), sums.end(), to, Kind::finish);
  }
  return result;
}

}  // namespace latentcast
