#include "latentcast/model/dit/rope.h"

#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <c10/util/Half.h>

namespace latentcast {
namespace {

constexpr double kBase = 10000.0;
constexpr int64_t kMotionFrames[] = {1, 3, 19};  // latents from each motion grid's oldest one to the present

struct Parts {
  int64_t time, side;  // complex numbers for time, and for height and width each
};

Parts parts_of(int64_t head_dim) {
  const int64_t half = head_dim / 2;
  return {half - 2 * (half / 3), half / 3};
}

float to_half_and_back(double value) { return static_cast<float>(c10::Half(static_cast<float>(value))); }

/// cos and sin of position times each frequency, interleaved; positions may be negative (conjugated).
std::vector<float> axis(const std::vector<int64_t>& positions, int64_t count) {
  std::vector<float> table;
  for (const int64_t position : positions) {
    for (int64_t i = 0; i < count; ++i) {
      const double exponent = static_cast<double>(2 * i) / static_cast<double>(2 * count);
      const double angle = static_cast<double>(position) * (1.0 / std::pow(kBase, exponent));
      table.push_back(to_half_and_back(std::cos(angle)));
      table.push_back(to_half_and_back(std::sin(angle)));
    }
  }
  return table;
}

at::Tensor combine(const std::vector<int64_t>& frames, const std::vector<int64_t>& rows,
                   const std::vector<int64_t>& columns, int64_t head_dim, at::Device device = at::kCPU) {
  const Parts parts = parts_of(head_dim);
  const auto f = static_cast<int64_t>(frames.size()), h = static_cast<int64_t>(rows.size()),
             w = static_cast<int64_t>(columns.size());
  const auto part = [&](const std::vector<int64_t>& positions, int64_t count, at::IntArrayRef view) {
    const std::vector<float> values = axis(positions, count);
    // A few KB, which the driver copies at once: nothing waits, and the values may go.
    return at::tensor(at::ArrayRef<float>(values), at::kFloat)
        .to(device, /*non_blocking=*/true)
        .view(view)
        .expand({f, h, w, count, 2});
  };
  const at::Tensor all = at::cat(
      {part(frames, parts.time, {f, 1, 1, parts.time, 2}), part(rows, parts.side, {1, h, 1, parts.side, 2}),
       part(columns, parts.side, {1, 1, w, parts.side, 2})},
      3);
  return at::view_as_complex(all.reshape({f * h * w, 1, head_dim / 2, 2}).contiguous());
}

std::vector<int64_t> range(int64_t first, int64_t count) {
  std::vector<int64_t> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    values[static_cast<size_t>(i)] = first + i;
  }
  return values;
}

/// `count` positions spread over 0 … last, truncated to whole numbers.
std::vector<int64_t> spread(int64_t from, int64_t to, int64_t count) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) {
    const double step = count == 1 ? 0.0 : static_cast<double>(to - from) / static_cast<double>(count - 1);
    const double value = i == count - 1 && count > 1
                             ? static_cast<double>(to)
                             : static_cast<double>(from) + step * static_cast<double>(i);
    values.push_back(static_cast<int64_t>(value));
  }
  return values;
}

}  // namespace

at::Tensor grid_rope(int64_t first_frame, int64_t frames, int64_t rows, int64_t columns, int64_t head_dim,
                     at::Device device) {
  return combine(range(first_frame, frames), range(0, rows), range(0, columns), head_dim, device);
}

at::Tensor motion_rope(int64_t rows, int64_t columns, int64_t head_dim) {
  std::vector<at::Tensor> tables;
  for (int i = 0; i < 3; ++i) {
    const int64_t scale = int64_t{1} << i;
    const int64_t span = i == 0 ? 1 : (i == 1 ? 2 : 16);
    // From the oldest latent of the grid towards the newest, counted backwards from the present.
    std::vector<int64_t> frames = spread(kMotionFrames[i], kMotionFrames[i] - span + 1, span / scale);
    for (int64_t& frame : frames) {
      frame = -frame;
    }
    tables.push_back(combine(frames, spread(0, rows - 1, rows / scale),
                             spread(0, columns - 1, columns / scale), head_dim));
  }
  return at::cat(tables, 0);
}

}  // namespace latentcast
