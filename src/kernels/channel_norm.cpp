#include "latentcast/kernels/channel_norm.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "operation.h"
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

// One build for every processor: the loader picks the widest instructions that are there. The sanitizers'
// start-up code can't run before the loader has chosen.
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define LATENTCAST_EVERY_PROCESSOR \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LATENTCAST_EVERY_PROCESSOR
#endif

namespace latentcast {
namespace {

constexpr int64_t kStrip = 512;  // pixels at once: their lengths stay in the first cache

/// eˣ to about one unit in the last place for |x| < 87, by 2ⁿ times a polynomial; vectorises, unlike
/// std::exp.
inline float exponential(float x) {
  constexpr float kLog2e = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 · 2²³: adding it rounds to a whole number
  x = std::min(std::max(x, -87.0f), 87.0f);
  const float n = (x * kLog2e + kRound) - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

struct Planes {
  const float* in;
  float* out;
  const float* gain;
  int64_t channels, in_stride, out_stride;
};

LATENTCAST_EVERY_PROCESSOR
void norm_strip(const Planes& p, int64_t begin, int64_t count, bool silu) {
  float scale[kStrip];
  std::fill(scale, scale + count, 0.0f);
  for (int64_t c = 0; c < p.channels; ++c) {
    const float* in = p.in + c * p.in_stride + begin;
    for (int64_t i = 0; i < count; ++i) {
      scale[i] += in[i] * in[i];
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    scale[i] = 1.0f / std::max(std::sqrt(scale[i]), 1e-12f);
  }
  for (int64_t c = 0; c < p.channels; ++c) {
    const float* in = p.in + c * p.in_stride + begin;
    float* out = p.out + c * p.out_stride + begin;
    const float gain = p.gain[c];
    if (silu) {
      for (int64_t i = 0; i < count; ++i) {
        const float y = in[i] * scale[i] * gain;
        out[i] = y / (1.0f + exponential(-y));
      }
    } else {
      for (int64_t i = 0; i < count; ++i) {
        out[i] = in[i] * scale[i] * gain;
      }
    }
  }
}

bool channels_in_one_piece(const at::Tensor& t) {
  const int64_t w = t.size(4), h = t.size(3);
  return t.stride(4) == 1 && t.stride(3) == w && t.stride(2) == w * h;
}

void norm_cpu(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& out, bool silu) {
  const Planes planes{x.const_data_ptr<float>(),
                      out.mutable_data_ptr<float>(),
                      gain.const_data_ptr<float>(),
                      x.size(1),
                      x.stride(1),
                      out.stride(1)};
  const int64_t pixels = x.size(2) * x.size(3) * x.size(4);
  at::parallel_for(0, (pixels + kStrip - 1) / kStrip, /*grain_size=*/4, [&](int64_t first, int64_t last) {
    for (int64_t strip = first; strip < last; ++strip) {
      norm_strip(planes, strip * kStrip, std::min(kStrip, pixels - strip * kStrip), silu);
    }
  });
}

}  // namespace

void channel_norm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& out, bool silu) {
  if (x.is_cpu() && x.scalar_type() == at::kFloat && channels_in_one_piece(x) && channels_in_one_piece(out)) {
    norm_cpu(x, gain, out, silu);
    return;
  }
  if (x.is_cuda() && x.is_contiguous(at::MemoryFormat::ChannelsLast3d) &&
      out.is_contiguous(at::MemoryFormat::ChannelsLast3d)) {
    static const auto run =
        operation<void(const at::Tensor&, const at::Tensor&, at::Tensor, bool)>("latentcast::channel_norm");
    run.call(x, gain, out, silu);
    return;
  }
  const at::Tensor length =
      at::linalg_vector_norm(x, 2, at::IntArrayRef({1}), /*keepdim=*/true).clamp_min_(1e-12);
  at::Tensor y = x / length * gain.view({1, -1, 1, 1, 1});
  out.copy_(silu ? at::silu_(y) : y);
}

TORCH_LIBRARY_FRAGMENT(latentcast, library) {
  library.def("channel_norm(Tensor x, Tensor gain, Tensor(a!) out, bool silu) -> ()");
}

}  // namespace latentcast
