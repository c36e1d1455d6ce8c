// The arithmetic of yuv420p.h, for the CPU's and CUDA's compilers alike.
#pragma once

#ifdef __CUDACC__
#define LATENTCAST_EVERYWHERE __host__ __device__
#else
#define LATENTCAST_EVERYWHERE
#endif

namespace latentcast {

/// −1..1 as 0..255, halves to the even number; NaN is black.
LATENTCAST_EVERYWHERE inline int colour_level(float value) {
  constexpr float kRound = 12582912.0f;  // 1.5 · 2²³: adding it rounds to a whole number
  const float level = (value + 1.0f) * 127.5f;
  const float inside = level > 0.0f ? (level < 255.0f ? level : 255.0f) : 0.0f;
  return static_cast<int>((inside + kRound) - kRound);
}

/// BT.709's factors (0.2126, 0.7152, 0.0722), times 219/255 for Y and 224/255 for U and V, times 2¹⁶. Those
/// of Y add up to 219/255, those of U and V to nothing, so that greys are grey.
LATENTCAST_EVERYWHERE inline int luma(int r, int g, int b) {
  return (11966 * r + 40254 * g + 4064 * b + (16 << 16) + (1 << 15)) >> 16;
}

/// Of sums over 8 samples.
LATENTCAST_EVERYWHERE inline int blue_difference(int r, int g, int b) {
  return (-6596 * r - 22189 * g + 28785 * b + (128 << 19) + (1 << 18)) >> 19;
}
LATENTCAST_EVERYWHERE inline int red_difference(int r, int g, int b) {
  return (28785 * r - 26146 * g - 2639 * b + (128 << 19) + (1 << 18)) >> 19;
}

}  // namespace latentcast
