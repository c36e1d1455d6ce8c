#include "resample.h"

namespace latentcast {
namespace {

int middle_offset(int scaled, int wanted) {
  if (scaled < wanted) return -((wanted - scaled) / 2);
  const int difference = scaled - wanted;
  const int half = difference / 2;
  return difference % 2 == 0 ? half : half + half % 2;  // a half is rounded to even
}

double triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

}  // namespace

CropPlan plan_crop(int source_width, int source_height, int width, int height) {
  const int side = std::min(width, height);
  const int shorter = std::min(source_width, source_height);
  const int longer = std::max(source_width, source_height);
  const int scaled = static_cast<int>(static_cast<double>(int64_t{side} * longer) / shorter);
  CropPlan plan;
  plan.scaled_width = source_width <= source_height ? side : scaled;
  plan.scaled_height = source_width <= source_height ? scaled : side;
  plan.left = middle_offset(plan.scaled_width, width);
  plan.top = middle_offset(plan.scaled_height, height);
  return plan;
}

Filter triangle_filter(int source, int scaled, int start, int length) {
  Filter filter;
  const int from = std::max(start, 0);
  const int to = std::min(start + length, scaled);
  filter.begin = from - start;
  const double scale = static_cast<double>(source) / scaled;
  const double support = std::max(scale, 1.0);
  for (int out = from; out < to; ++out) {
    const double center = (out + 0.5) * scale;
    FilterRow row;
    row.first = std::max(0, static_cast<int>(center - support + 0.5));
    row.count = std::min(source, static_cast<int>(center + support + 0.5)) - row.first;
    row.offset = filter.weights.size();
    double total = 0;
    for (int i = 0; i < row.count; ++i) {
      const double weight = triangle((row.first + i - center + 0.5) * (1.0 / support));
      filter.weights.push_back(weight);
      total += weight;
    }
    for (int i = 0; i < row.count; ++i) filter.weights[row.offset + i] /= total;
    filter.rows.push_back(row);
  }
  return filter;
}

}  // namespace latentcast
