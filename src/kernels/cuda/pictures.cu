#include "../yuv420p_math.h"
#include "pictures.h"
#include "row.cuh"

namespace latentcast::cuda {
namespace {

constexpr int kNormThreads = 256;

template <typename T, int kStep>
__device__ void load(const T* from, float (&to)[kStep]) {
  if constexpr (kStep == kWidth) {
    load8(from, to);
  } else {
    to[0] = static_cast<float>(*from);
  }
}

template <typename T, int kStep>
__device__ void store(T* to, const float (&from)[kStep]) {
  if constexpr (kStep == kWidth) {
    store8(to, from);
  } else {
    *to = static_cast<T>(from[0]);
  }
}

/// kLanes threads have a pixel, kStep channels at once; they read it twice.
template <typename T, int kStep, int kLanes, bool kSilu>
__global__ void __launch_bounds__(kNormThreads) channel_norm_kernel(ChannelNorm args) {
  const int64_t pixel = (static_cast<int64_t>(blockIdx.x) * kNormThreads + threadIdx.x) / kLanes;
  const int begin = threadIdx.x % kLanes * kStep;
  const bool inside = pixel < args.pixels;
  const int channels = inside ? static_cast<int>(args.channels) : 0;
  const T* x = static_cast<const T*>(args.x) + pixel * args.channels;
  float values[kStep], gain[kStep], squares = 0;
  for (int c = begin; c < channels; c += kLanes * kStep) {
    load(x + c, values);
    for (int i = 0; i < kStep; ++i) squares += values[i] * values[i];
  }
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) squares += __shfl_xor_sync(~0u, squares, offset);
  // A NaN passes through, which fmaxf() would take for less than the least length.
  const float length = sqrtf(squares), scale = 1.0f / (length < 1e-12f ? 1e-12f : length);
  for (int c = begin; c < channels; c += kLanes * kStep) {
    load(x + c, values);
    load(static_cast<const T*>(args.gain) + c, gain);
    for (int i = 0; i < kStep; ++i) {
      values[i] *= scale * gain[i];
      if (kSilu) values[i] = values[i] / (1.0f + expf(-values[i]));
    }
    store(static_cast<T*>(args.out) + pixel * args.channels + c, values);
  }
}

template <typename T, int kStep, int kLanes>
cudaError_t launch_norm(const ChannelNorm& args, cudaStream_t stream) {
  constexpr int kPixels = kNormThreads / kLanes;
  const auto blocks = static_cast<unsigned>((args.pixels + kPixels - 1) / kPixels);
  const auto kernel =
      args.silu ? channel_norm_kernel<T, kStep, kLanes, true> : channel_norm_kernel<T, kStep, kLanes, false>;
  kernel<<<blocks, kNormThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_norm(const ChannelNorm& args, cudaStream_t stream) {
  if (args.channels % kWidth != 0) return launch_norm<T, 1, 32>(args, stream);
  return args.channels <= 128 ? launch_norm<T, kWidth, 16>(args, stream)
                              : launch_norm<T, kWidth, 32>(args, stream);
}

/// A thread for 2 x 2 pixels.
__global__ void yuv420p_kernel(Yuv420p args) {
  const int64_t x = 2 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x), y = 2 * blockIdx.y;
  if (x >= args.width) return;
  const float* from = args.frames + blockIdx.z * args.strides[1] + y * args.strides[2];
  int levels[3][2][3];  // colour, row, columns x − 1 … x + 1
  for (int c = 0; c < 3; ++c) {
    for (int row = 0; row < 2; ++row) {
      for (int i = 0; i < 3; ++i) {
        const int64_t column = x - 1 + i < 0 ? 0 : x - 1 + i;
        levels[c][row][i] =
            colour_level(from[c * args.strides[0] + row * args.strides[2] + column * args.strides[3]]);
      }
    }
  }
  const int64_t pixels = args.height * args.width;
  uint8_t* planes = args.out + blockIdx.z * (pixels * 3 / 2);
  for (int row = 0; row < 2; ++row) {
    for (int i = 0; i < 2; ++i) {
      planes[(y + row) * args.width + x + i] =
          static_cast<uint8_t>(luma(levels[0][row][i + 1], levels[1][row][i + 1], levels[2][row][i + 1]));
    }
  }
  int sums[3];
  for (int c = 0; c < 3; ++c) {
    sums[c] = 0;
    for (int row = 0; row < 2; ++row) {
      sums[c] += levels[c][row][0] + 2 * levels[c][row][1] + levels[c][row][2];
    }
  }
  uint8_t* u = planes + pixels + y / 2 * (args.width / 2) + x / 2;
  u[0] = static_cast<uint8_t>(blue_difference(sums[0], sums[1], sums[2]));
  u[pixels / 4] = static_cast<uint8_t>(red_difference(sums[0], sums[1], sums[2]));
}

}  // namespace

cudaError_t channel_norm(const ChannelNorm& args, cudaStream_t stream) {
  if (args.pixels == 0) return cudaSuccess;
  return args.bf16 ? launch_norm<__nv_bfloat16>(args, stream) : launch_norm<float>(args, stream);
}

cudaError_t yuv420p(const Yuv420p& args, cudaStream_t stream) {
  if (args.count == 0) return cudaSuccess;
  constexpr int kThreadsAcross = 128;
  const dim3 blocks(static_cast<unsigned>((args.width / 2 + kThreadsAcross - 1) / kThreadsAcross),
                    static_cast<unsigned>(args.height / 2), static_cast<unsigned>(args.count));
  yuv420p_kernel<<<blocks, kThreadsAcross, 0, stream>>>(args);
  return cudaGetLastError();
}

}  // namespace latentcast::cuda
