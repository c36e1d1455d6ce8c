// What the threads of a warpgroup do with queries, products and weights in attention over packed keys and
// values. A thread has parts of two of the warpgroup's 64 rows, [0] and, 8 further down, [1]; which,
// hopper.cuh says.
#pragma once

#include <cstdint>

#include "hopper.cuh"
#include "hopper_8bit.cuh"
#include "packed_attention.h"
#include <cuda_bf16.h>

namespace latentcast::cuda {

constexpr int kTile = kPackedTile;
constexpr int kRows = 64;  // of a warpgroup
// Weights are times 2⁸, so that the largest is in the upper part of what e4m3 can hold.
constexpr float kLift = 8;
constexpr float kLeast = 1e-15f;  // that a scale stands for

__device__ __forceinline__ float exp2_of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ __forceinline__ float larger(float a, float b) {
  float c;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
}

/// Of the four threads that share a row.
__device__ __forceinline__ float row_sum(float x) {
  x += __shfl_xor_sync(~0u, x, 1);
  return x + __shfl_xor_sync(~0u, x, 2);
}
__device__ __forceinline__ int row_largest(int x) {
  x = max(x, __shfl_xor_sync(~0u, x, 1));
  return max(x, __shfl_xor_sync(~0u, x, 2));
}

/// 64 queries of a head in 8 bits.
struct Queries {
  uint32_t numbers[16];
  float scale[2];  // with what the exponents have besides: log2(e) / sqrt(128)

  __device__ __forceinline__ Queries(const __nv_bfloat16* query, int queries, int heads, int head, int row) {
    constexpr float kExponent = 1.4426950408889634f * 0.08838834764831845f;
    const int quarter = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half, row += 8) {
      uint2 raw[8];
      float largest = 0;
#pragma unroll
      for (int c = 0; c < 8; ++c) {
        raw[c] = make_uint2(0, 0);
        if (row < queries) {
          raw[c] = *reinterpret_cast<const uint2*>(
              query + (static_cast<int64_t>(row) * heads + head) * kHeadDim + 16 * c + 4 * quarter);
        }
        const float4 x = wide(raw[c]);
        largest = larger(largest, larger(larger(fabsf(x.x), fabsf(x.y)), larger(fabsf(x.z), fabsf(x.w))));
      }
      largest = larger(largest, __shfl_xor_sync(~0u, largest, 1));
      largest = larger(largest, __shfl_xor_sync(~0u, largest, 2));
      largest = larger(largest, kLeast);
      const float inverse = 127.0f / largest;
      scale[half] = largest / 127.0f * kExponent;
#pragma unroll
      for (int c = 0; c < 8; ++c) {
        const float4 x = wide(raw[c]);
        numbers[c / 2 * 4 + c % 2 * 2 + half] = byte_of(x.x * inverse) | byte_of(x.y * inverse) << 8 |
                                                byte_of(x.z * inverse) << 16 | byte_of(x.w * inverse) << 24;
      }
    }
  }

  /// What the mean of a piece's keys adds to every exponent of its tokens.
  __device__ __forceinline__ void bias(const float* mean, float (&to)[2]) const {
    float sum[2] = {0, 0};
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const float4 m = *reinterpret_cast<const float4*>(mean + 16 * c + threadIdx.x % 4 * 4);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint32_t four = numbers[c / 2 * 4 + c % 2 * 2 + half];
        sum[half] += number_of(four, 0) * m.x + number_of(four, 1) * m.y + number_of(four, 2) * m.z +
                     number_of(four, 3) * m.w;
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) to[half] = row_sum(sum[half]) * scale[half];
  }

 private:
  __device__ static float4 wide(uint2 raw) {
    const float2 a = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(raw.x)),
                 b = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(raw.y));
    return make_float4(a.x, a.y, b.x, b.y);
  }
  __device__ static uint32_t byte_of(float x) { return static_cast<uint32_t>(__float2int_rn(x)) & 0xff; }
  __device__ static float number_of(uint32_t four, int i) {
    return static_cast<float>(static_cast<int8_t>(four >> (8 * i)));
  }
};

/// Registers that products are written to: nothing that reads them comes before this.
template <typename T, int kCount>
__device__ __forceinline__ void settle(T (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if constexpr (static_cast<T>(0.5f) == 0) {
      asm volatile("" : "+r"(d[i])::"memory");
    } else {
      asm volatile("" : "+f"(d[i])::"memory");
    }
  }
}

__device__ __forceinline__ uint32_t fp8_of(float a, float b, float c, float d) {
  uint16_t low, high;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(low) : "f"(b), "f"(a));
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(high) : "f"(d), "f"(c));
  return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16;
}

__device__ __forceinline__ float shared_float(uint32_t address) {
  float x;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(address) : "memory");
  return x;
}
/// Zeros if not.
__device__ __forceinline__ float2 shared_pair_if(uint32_t read, uint32_t address) {
  float2 x{};
  asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %2, 0;\n@p ld.shared.v2.f32 {%0, %1}, [%3];\n}"
               : "+f"(x.x), "+f"(x.y)
               : "r"(read), "r"(address)
               : "memory");
  return x;
}
/// Of what the kernel doesn't write.
__device__ __forceinline__ float2 global_pair(const float* from) {
  float2 x;
  asm volatile("ld.global.nc.v2.f32 {%0, %1}, [%2];" : "=f"(x.x), "=f"(x.y) : "l"(from));
  return x;
}

/// What is known of a thread's two rows.
struct RowState {
  float top[2] = {-INFINITY, -INFINITY};   // largest exponent so far
  float base[2] = {-INFINITY, -INFINITY};  // exponent that the totals are relative to
  float total[2] = {0, 0};                 // weights in the totals
};

/// The largest products of the thread's rows with a tile's keys, the other threads' parts too.
__device__ __forceinline__ void largest_of(const int32_t (&s)[kTile / 2], int (&largest)[2]) {
  int most[2][2] = {{s[0], s[1]}, {s[2], s[3]}};
#pragma unroll
  for (int i = 4; i < kTile / 2; i += 8) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      int& x = most[j / 2][j % 2];
      x = i + 4 < kTile / 2 ? __vimax3_s32(x, s[i + j], s[i + 4 + j]) : max(x, s[i + j]);
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) largest[half] = row_largest(max(most[half][0], most[half][1]));
}

/// Products become exponents, in their place: the bits of floats.
__device__ __forceinline__ void to_exponents(int32_t (&s)[kTile / 2], const float (&scale)[2],
                                             const float (&offset)[2]) {
#pragma unroll
  for (int i = 0; i < kTile / 2; ++i) {
    const int half = i / 2 % 2;
    s[i] = __float_as_int(static_cast<float>(s[i]) * scale[half] + offset[half]);
  }
}

/// Weights of a tile's tokens, in e4m3, as the product with the values takes them, whose tokens lie in this
/// order.
__device__ __forceinline__ void weigh(const int32_t (&exponents)[kTile / 2], uint32_t (&weights)[kTile / 8]) {
#pragma unroll
  for (int i = 0; i < kTile / 8; ++i) {
    float w[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      w[j] = exp2_of(__int_as_float(exponents[i / 4 * 16 + i / 2 % 2 * 8 + i % 2 * 2 + j / 2 * 4 + j % 2]));
    }
    weights[i] = fp8_of(w[0], w[1], w[2], w[3]);
  }
}

/// A matrix as hopper.cuh's matrix() describes it, from so many times 16 bytes on.
template <int kAlongSum, int kAlongRows>
__device__ __forceinline__ uint64_t matrix_at(uint32_t sixteens) {
  return static_cast<uint64_t>(kAlongRows >> 4) << 32 | (sixteens + (kAlongSum >> 4 << 16));
}

/// Keys and values from `sixteens` · 16 bytes of shared memory on.
__device__ __forceinline__ void multiply_keys(int32_t (&s)[kTile / 2], const uint32_t (&queries)[16],
                                              uint32_t sixteens) {
#pragma unroll
  for (int i = 0; i < kHeadDim / 32; ++i) {
    multiply_int8(s, queries + 4 * i, matrix_at<kTile * 16, 128>(sixteens + i * 2 * kTile), i > 0);
  }
}

__device__ __forceinline__ void multiply_values(float (&sums)[kValueRows / 2],
                                                const uint32_t (&weights)[kTile / 8], uint32_t sixteens,
                                                int add) {
#pragma unroll
  for (int i = 0; i < kTile / 32; ++i) {
    multiply_fp8(sums, weights + 4 * i, matrix_at<kValueRows * 16, 128>(sixteens + i * 2 * kValueRows),
                 i > 0 ? 1 : add);
  }
}

}  // namespace latentcast::cuda
