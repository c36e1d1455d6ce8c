#include "latentcast/kernels/yuv420p.h"

#include <algorithm>
#include <vector>

#include "operation.h"
#include "yuv420p_math.h"
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

namespace latentcast {
namespace {

void require_frames(const at::Tensor& frames) {
  TORCH_CHECK(frames.dim() == 4 && frames.size(0) == 3 && frames.size(2) % 2 == 0 &&
                  frames.size(3) % 2 == 0 && frames.scalar_type() == at::kFloat,
              "to_yuv420p: takes [3, n, H, W] float32, H and W even, not ", frames.sizes(), " ",
              frames.scalar_type());
}

/// Two rows of each colour, and their colours summed over the two.
struct RowPair {
  explicit RowPair(int64_t width)
      : rows(static_cast<size_t>(6 * width)), sums(static_cast<size_t>(3 * width)) {}
  std::vector<int> rows, sums;
};

/// Rows y and y + 1 of a frame.
void round_rows(const float* frames, at::IntArrayRef strides, int64_t width, RowPair& pair) {
  for (int64_t c = 0; c < 3; ++c) {
    int* sum = pair.sums.data() + c * width;
    for (int64_t row = 0; row < 2; ++row) {
      const float* from = frames + c * strides[0] + row * strides[2];
      int* to = pair.rows.data() + (2 * c + row) * width;
      for (int64_t x = 0; x < width; ++x) {
        to[x] = colour_level(from[x * strides[3]]);
      }
    }
    for (int64_t x = 0; x < width; ++x) {
      sum[x] = pair.rows[static_cast<size_t>(2 * c * width + x)] +
               pair.rows[static_cast<size_t>((2 * c + 1) * width + x)];
    }
  }
}

void write_luma(const RowPair& pair, int64_t width, uint8_t* to) {
  const int* r = pair.rows.data();
  const int *g = r + 2 * width, *b = r + 4 * width;
  for (int64_t i = 0; i < 2 * width; ++i) {
    to[i] = static_cast<uint8_t>(luma(r[i], g[i], b[i]));
  }
}

/// A quarter of the left, half of the middle and a quarter of the right neighbour; the edge repeats.
void write_differences(const RowPair& pair, int64_t width, uint8_t* u, uint8_t* v) {
  for (int64_t x = 0; x < width; x += 2) {
    int sums[3];
    for (int64_t c = 0; c < 3; ++c) {
      const int* sum = pair.sums.data() + c * width;
      sums[c] = sum[std::max<int64_t>(x - 1, 0)] + 2 * sum[x] + sum[x + 1];
    }
    u[x / 2] = static_cast<uint8_t>(blue_difference(sums[0], sums[1], sums[2]));
    v[x / 2] = static_cast<uint8_t>(red_difference(sums[0], sums[1], sums[2]));
  }
}

at::Tensor to_yuv420p_cpu(const at::Tensor& frames) {
  require_frames(frames);
  const int64_t count = frames.size(1), height = frames.size(2), width = frames.size(3);
  const int64_t pixels = height * width;
  const at::Tensor out = at::empty({count, pixels * 3 / 2}, frames.options().dtype(at::kByte));
  const float* from = frames.const_data_ptr<float>();
  uint8_t* to = out.mutable_data_ptr<uint8_t>();
  at::parallel_for(0, count * height / 2, /*grain_size=*/16, [&](int64_t begin, int64_t end) {
    RowPair pair(width);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t frame = i / (height / 2), row = i % (height / 2);
      round_rows(from + frame * frames.stride(1) + 2 * row * frames.stride(2), frames.strides(), width, pair);
      uint8_t* planes = to + frame * pixels * 3 / 2;
      write_luma(pair, width, planes + 2 * row * width);
      uint8_t* u = planes + pixels + row * (width / 2);
      write_differences(pair, width, u, u + pixels / 4);
    }
  });
  return out;
}

}  // namespace

at::Tensor to_yuv420p(const at::Tensor& frames) {
  static const auto run = operation<at::Tensor(const at::Tensor&)>("latentcast::to_yuv420p");
  return run.call(frames);
}

at::Tensor to_rgb24(const at::Tensor& frames) {
  const at::Tensor levels = ((frames + 1) * 127.5).clamp_(0, 255).round_().to(at::kByte);
  return levels.permute({1, 2, 3, 0}).contiguous();
}

TORCH_LIBRARY_FRAGMENT(latentcast, library) { library.def("to_yuv420p(Tensor frames) -> Tensor"); }

TORCH_LIBRARY_IMPL(latentcast, CPU, library) { library.impl("to_yuv420p", &to_yuv420p_cpu); }

}  // namespace latentcast
