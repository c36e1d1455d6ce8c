#include "latentcast/model/dit/rope.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/kernels/rotated_norm.h"
#include "latentcast/model/dit/cache_means.h"

namespace latentcast {
namespace {

float half(double value) { return static_cast<float>(c10::Half(static_cast<float>(value))); }

TEST(Rope, TablesAreHalfPrecisionAnglesOfTimeRowAndColumn) {
  const int64_t head_dim = 128;  // 22 + 21 + 21 complex numbers
  const at::Tensor table = at::view_as_real(grid_rope(5, 2, 3, 4, head_dim));
  const int64_t token = (1 * 3 + 2) * 4 + 3;  // frame 6, row 2, column 3
  const auto value = [&](int64_t index, int64_t part) { return table[token][0][index][part].item<float>(); };
  for (const int64_t i : {0, 7, 21}) {
    const double angle = 6 * std::pow(10000.0, -2.0 * static_cast<double>(i) / 44.0);
    EXPECT_EQ(value(i, 0), half(std::cos(angle)));
    EXPECT_EQ(value(i, 1), half(std::sin(angle)));
  }
  EXPECT_EQ(value(22 + 1, 0), half(std::cos(2 * std::pow(10000.0, -2.0 / 42.0))));
  EXPECT_EQ(value(43 + 1, 1), half(std::sin(3 * std::pow(10000.0, -2.0 / 42.0))));
}

TEST(Rope, HasNoEndAfterTwoHours) {
  // The public table has 45,000 latents.
  const at::Tensor late = at::view_as_real(grid_rope(1'000'000, 3, 2, 2, 16));
  EXPECT_TRUE(at::isfinite(late).all().item<bool>());
  EXPECT_FALSE(at::equal(late[0], late[4]));
  EXPECT_EQ(late[0][0][0][0].item<float>(), half(std::cos(1e6)));
}

TEST(Rope, MotionLiesInThePast) {
  const int64_t rows = 8, columns = 4;
  const at::Tensor table = at::view_as_real(motion_rope(rows, columns, 16));
  ASSERT_EQ(table.size(0), motion_tokens(rows, columns));
  const auto time_angle_sine = [&](int64_t token) { return table[token][0][0][1].item<float>(); };
  EXPECT_EQ(time_angle_sine(0), half(std::sin(-1.0)));
  EXPECT_EQ(time_angle_sine(rows * columns), half(std::sin(-3.0)));
  const int64_t coarse = rows * columns + rows * columns / 4;
  const double frames[] = {-19, -14, -9, -4};
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(time_angle_sine(coarse + i * 2), half(std::sin(frames[i]))) << i;
  }
}

TEST(Rope, RotationKeepsLengths) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({24, 2, 16});
  const at::Tensor y = at::empty_like(x);
  rotate_rows(x, grid_rope(9, 1, 6, 4, 16), y);
  EXPECT_LT((y.norm(2, -1) - x.norm(2, -1)).abs().max().item<float>(), 2e-3f);  // half-precision table
  EXPECT_GT((y - x).abs().max().item<float>(), 0.1f);
}

}  // namespace
}  // namespace latentcast
