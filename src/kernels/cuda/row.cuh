// Rows of up to 14336 numbers, each held in the registers of one block of threads.
#pragma once

#include <cstdint>

#include "row_kernels.h"
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

namespace latentcast::cuda {

constexpr int kThreads = 128;            // of a block, but for very long rows
constexpr int kWidth = 8;                // numbers that a thread moves at once
constexpr float kFp8Largest = 448;       // of e4m3
constexpr float kLeastLargest = 1e-30f;  // rows of zeros get this scale

/// 8 numbers, 16 bytes of bf16 or 32 of float32.
template <typename T>
__device__ inline void load8(const T* from, float (&to)[kWidth]);

template <>
__device__ inline void load8<__nv_bfloat16>(const __nv_bfloat16* from, float (&to)[kWidth]) {
  const uint4 raw = *reinterpret_cast<const uint4*>(from);
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = __uint_as_float(words[i] << 16);
    to[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
}

template <>
__device__ inline void load8<float>(const float* from, float (&to)[kWidth]) {
  const float4 low = reinterpret_cast<const float4*>(from)[0],
               high = reinterpret_cast<const float4*>(from)[1];
  to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
  to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

template <typename T>
__device__ inline void store8(T* to, const float (&from)[kWidth]);

template <>
__device__ inline void store8<__nv_bfloat16>(__nv_bfloat16* to, const float (&from)[kWidth]) {
  uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(from[2 * i], from[2 * i + 1]);
    words[i] = reinterpret_cast<const uint32_t&>(pair);
  }
  *reinterpret_cast<uint4*>(to) = make_uint4(words[0], words[1], words[2], words[3]);
}

template <>
__device__ inline void store8<float>(float* to, const float (&from)[kWidth]) {
  reinterpret_cast<float4*>(to)[0] = make_float4(from[0], from[1], from[2], from[3]);
  reinterpret_cast<float4*>(to)[1] = make_float4(from[4], from[5], from[6], from[7]);
}

/// GELU in its tanh form: (1 + tanh(u)) / 2 = 1 / (1 + exp(−2u)). Two of the few instructions that a
/// processor does slowly, and none for numbers that can't come.
__device__ inline float gelu_of(float x) {
  const float power = x * (-2.3022082f - 0.10294324f * x * x);  // −2u as a power of two
  float above, part;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(above) : "f"(power));
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(part) : "f"(1 + above));
  return x * part;
}

/// Rounded to a row's type and back.
template <typename T>
__device__ inline float rounded_to(float x) {
  if constexpr (sizeof(T) == sizeof(__nv_bfloat16)) return __bfloat162float(__float2bfloat16_rn(x));
  return x;
}

/// Sum over the block, the same for all threads and from call to call. `scratch` is for this call alone.
template <int kWarps>
__device__ inline float block_sum(float value, float (&scratch)[kWarps]) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(~0u, value, offset);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = scratch[0];
#pragma unroll
  for (int i = 1; i < kWarps; ++i) sum += scratch[i];
  return sum;
}

/// Largest over the block; a NaN counts only if there is nothing else.
template <int kWarps>
__device__ inline float block_max(float value, float (&scratch)[kWarps]) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(~0u, value, offset));
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float largest = scratch[0];
#pragma unroll
  for (int i = 1; i < kWarps; ++i) largest = fmaxf(largest, scratch[i]);
  return largest;
}

/// Where a row of 8-bit numbers goes, and its scale; see quantize.h.
struct Fp8Row {
  uint8_t* values;
  float* scale;
};

/// A row as it lies in memory, on its way to a Row.
template <typename T, int kVectors, int kBlock>
struct RawRow {
  static constexpr int kParts = kWidth * static_cast<int>(sizeof(T)) / 16;
  uint4 parts[kVectors][kParts];

  __device__ void load(const T* row, int dim) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int column = (v * kBlock + threadIdx.x) * kWidth;
#pragma unroll
      for (int i = 0; i < kParts; ++i) {
        parts[v][i] = column < dim ? reinterpret_cast<const uint4*>(row + column)[i] : make_uint4(0, 0, 0, 0);
      }
    }
  }
};

/// One row: kVectors times 8 numbers a thread of kBlock, as many as dim has; the rest are zeros.
template <int kVectors, int kBlock = kThreads>
struct Row {
  static constexpr int kWarps = (kBlock + 31) / 32;
  float values[kVectors][kWidth];

  /// Calls work(vector, first column) for every vector that this thread has.
  template <typename Work>
  __device__ static void each(int dim, const Work& work) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int column = (v * kBlock + threadIdx.x) * kWidth;
      if (column < dim) work(v, column);
    }
  }

  template <typename T>
  __device__ void load(const T* row, int dim) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[v][i] = 0;
    }
    each(dim, [&](int v, int column) { load8(row + column, values[v]); });
  }

  template <typename T>
  __device__ void take(const RawRow<T, kVectors, kBlock>& raw) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) load8(reinterpret_cast<const T*>(raw.parts[v]), values[v]);
  }

  template <typename T>
  __device__ void store(T* row, int dim) const {
    each(dim, [&](int v, int column) { store8(row + column, values[v]); });
  }

  /// To what store() writes.
  template <typename T>
  __device__ void round() {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[v][i] = rounded_to<T>(values[v][i]);
    }
  }

  /// To `out`, or where kFp8 says so to `fp8`.
  template <typename T, bool kFp8>
  __device__ void store(void* out, const Fp8Out& fp8, int64_t row, int dim) const {
    if constexpr (kFp8) {
      store(Fp8Row{static_cast<uint8_t*>(fp8.values) + row * dim, fp8.scales + row}, dim);
    } else {
      store(static_cast<T*>(out) + row * dim, dim);
    }
  }

  __device__ void store(Fp8Row to, int dim) const {
    __shared__ float scratch[kWarps];
    float largest = 0;
    each(dim, [&](int v, int) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) largest = fmaxf(largest, fabsf(values[v][i]));
    });
    largest = fmaxf(block_max(largest, scratch), kLeastLargest);
    const float to_fp8 = kFp8Largest / largest;
    each(dim, [&](int v, int column) {
      uint32_t words[2] = {0, 0};
#pragma unroll
      for (int i = 0; i < kWidth; i += 2) {
        const __nv_fp8x2_storage_t pair = __nv_cvt_float2_to_fp8x2(
            make_float2(values[v][i] * to_fp8, values[v][i + 1] * to_fp8), __NV_SATFINITE, __NV_E4M3);
        words[i / 4] |= static_cast<uint32_t>(pair) << (i % 4 * 8);
      }
      *reinterpret_cast<uint2*>(to.values + column) = make_uint2(words[0], words[1]);
    });
    if (threadIdx.x == 0) *to.scale = largest / kFp8Largest;
  }

  /// Tanh form of GELU.
  __device__ void gelu(int dim) {
    each(dim, [&](int v, int) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        values[v][i] = gelu_of(values[v][i]);
      }
    });
  }

  /// this += other
  template <typename T>
  __device__ void add(const T* row, int dim) {
    each(dim, [&](int v, int column) {
      float other[kWidth];
      load8(row + column, other);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[v][i] += other[i];
    });
  }

  /// this += other · gate
  template <typename T>
  __device__ void add_gated(const T* row, const float* gate, int dim) {
    each(dim, [&](int v, int column) {
      float other[kWidth], g[kWidth];
      load8(row + column, other);
      load8(gate + column, g);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[v][i] += other[i] * g[i];
    });
  }

  /// (this − mean) / sqrt(variance + eps)
  __device__ void normalize(int dim, float eps) {
    __shared__ float first[kWarps], second[kWarps];
    float sum = 0;
    each(dim, [&](int v, int) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) sum += values[v][i];
    });
    const float mean = block_sum(sum, first) / static_cast<float>(dim);
    float squares = 0;
    each(dim, [&](int v, int) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        values[v][i] -= mean;
        squares += values[v][i] * values[v][i];
      }
    });
    const float scale = rsqrtf(block_sum(squares, second) / static_cast<float>(dim) + eps);
    each(dim, [&](int v, int) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[v][i] *= scale;
    });
  }

  /// this / sqrt(mean square + eps)
  __device__ void normalize_length(int dim, float eps) {
    __shared__ float scratch[kWarps];
    float squares = 0;
    each(dim, [&](int v, int) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) squares += values[v][i] * values[v][i];
    });
    const float scale = rsqrtf(block_sum(squares, scratch) / static_cast<float>(dim) + eps);
    each(dim, [&](int v, int) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[v][i] *= scale;
    });
  }

  /// this · (1 + scale) + shift
  __device__ void modulate(const float* shift, const float* scale, int dim) {
    each(dim, [&](int v, int column) {
      float a[kWidth], b[kWidth];
      load8(scale + column, a);
      load8(shift + column, b);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[v][i] = values[v][i] * (1 + a[i]) + b[i];
    });
  }

  /// this · weight
  template <typename T>
  __device__ void multiply(const T* weight, int dim) {
    each(dim, [&](int v, int column) {
      float a[kWidth];
      load8(weight + column, a);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[v][i] *= a[i];
    });
  }

  /// Pairs of every head as complex numbers, times the table's row of cosines and sines.
  __device__ void rotate(const float* table, int head_dim, int dim) {
    each(dim, [&](int v, int column) {
      float turn[kWidth];
      if (head_dim % kWidth == 0) {
        load8(table + column % head_dim, turn);
      } else {
#pragma unroll
        for (int i = 0; i < kWidth; ++i) turn[i] = table[(column + i) % head_dim];
      }
#pragma unroll
      for (int i = 0; i < kWidth; i += 2) {
        const float re = values[v][i], im = values[v][i + 1];
        values[v][i] = re * turn[i] - im * turn[i + 1];
        values[v][i + 1] = re * turn[i + 1] + im * turn[i];
      }
    });
  }

  /// this · weight + bias
  template <typename T>
  __device__ void scale_and_shift(const T* weight, const T* bias, int dim) {
    each(dim, [&](int v, int column) {
      float a[kWidth], b[kWidth];
      load8(weight + column, a);
      load8(bias + column, b);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[v][i] = values[v][i] * a[i] + b[i];
    });
  }
};

/// Of the current device.
inline int processors() {
  int device = 0, count = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count;
}

/// Calls launch.template operator()<kVectors>() for rows of this length (at most kMaxRow).
template <typename Launch>
void for_row_length(int64_t dim, const Launch& launch) {
  const int64_t vectors = (dim + kThreads * kWidth - 1) / (kThreads * kWidth);
  if (vectors <= 1) {
    launch.template operator()<1>();
  } else if (vectors <= 2) {
    launch.template operator()<2>();
  } else if (vectors <= 5) {
    launch.template operator()<5>();
  } else if (vectors <= 8) {
    launch.template operator()<8>();
  } else {
    launch.template operator()<14>();
  }
}

/// Calls launch.template operator()<kVectors, kBlock>(): for norms with several terms, where many threads
/// with a few numbers each have more loads under way than few threads with many. All norms of residual sums
/// and modulated_norm() go by this one, so that their sums are in one order.
template <typename Launch>
void for_norm_length(int64_t dim, const Launch& launch) {
  constexpr int kWideBlock = 320;
  if (dim > 2 * kThreads * kWidth && dim <= 2 * kWideBlock * kWidth) {
    launch.template operator()<2, kWideBlock>();
  } else {
    for_row_length(dim, [&]<int kVectors>() { launch.template operator()<kVectors, kThreads>(); });
  }
}

/// Calls launch.template operator()<kFp8>().
template <typename Launch>
void for_output(const Fp8Out& fp8, const Launch& launch) {
  if (fp8.values != nullptr) {
    launch.template operator()<true>();
  } else {
    launch.template operator()<false>();
  }
}

/// Calls launch with a null pointer of the type that the numbers have.
template <typename Launch>
void for_type(bool bf16, const Launch& launch) {
  if (bf16) {
    launch(static_cast<const __nv_bfloat16*>(nullptr));
  } else {
    launch(static_cast<const float*>(nullptr));
  }
}

}  // namespace latentcast::cuda
