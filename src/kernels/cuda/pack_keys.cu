// Keys and values in 8 bits, by three kernels: sums (of keys and values), least and largest (of values) of
// each tile's columns; means over all tiles from these, always in the same order; every tile's numbers, as
// attention's copies want them.
#include "packed_attention.h"
#include <cuda_bf16.h>
#include <cuda_fp8.h>

namespace latentcast::cuda {
namespace {

constexpr int kTile = kPackedTile;
constexpr int kThreads = 2 * kTile;
constexpr int kTokensAtOnce = kThreads / 16;  // of keys: 16 threads a token
constexpr int kKeySteps = kTile / kTokensAtOnce;
constexpr int kValueChunks = 2;  // of 16 tokens, that a thread has; 64 threads, two dims each, for a chunk
constexpr int kValueGroups = kThreads / 64;
static_assert(kValueGroups * kValueChunks * 16 == kTile && kKeySteps * kTokensAtOnce == kTile);
static_assert(3 * kValueGroups <= kTokensAtOnce);
constexpr float kLargest = 448;   // of e4m3
constexpr float kLeast = 1e-15f;  // that a scale stands for; products of two are no denormals

struct Args {
  int tokens, heads, tiles;
  const __nv_bfloat16 *keys, *values;
  int64_t key_stride, value_stride;
  uint8_t *packed_keys, *packed_values;
  float *key_mean, *value_scale, *value_mean;
  float* sums;  // [head][tile][4][128]: of keys, of values, values' least and largest

  __device__ int head() const { return blockIdx.y; }
  __device__ int tile() const { return blockIdx.x; }
  __device__ bool takes_keys() const { return keys != nullptr && blockIdx.z == 0; }
  __device__ int64_t place() const { return static_cast<int64_t>(head()) * tiles + tile(); }
  __device__ float* sums_of(int of_tile, int what) const {
    return sums + ((static_cast<int64_t>(head()) * tiles + of_tile) * 4 + what) * kHeadDim;
  }
};

/// Larger of the two, or NaN if one is.
__device__ __forceinline__ float larger(float a, float b) {
  float c;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
}

/// 8 dims, from 8 · (thread % 16) on, of tokens thread / 16, kTokensAtOnce further, ...; behind the last
/// zeros, or the last once more.
struct KeyRows {
  uint4 rows[kKeySteps];

  __device__ KeyRows(const Args& args, bool repeat) {
#pragma unroll
    for (int i = 0; i < kKeySteps; ++i) {
      const int place = args.tile() * kTile + at(i), token = repeat ? min(place, args.tokens - 1) : place;
      rows[i] = make_uint4(0, 0, 0, 0);
      if (token < args.tokens) {
        rows[i] = *reinterpret_cast<const uint4*>(args.keys + token * args.key_stride +
                                                  args.head() * kHeadDim + threadIdx.x % 16 * 8);
      }
    }
  }
  __device__ static int at(int i) { return threadIdx.x / 16 + i * kTokensAtOnce; }
  __device__ float2 pair(int i, int j) const {
    return __bfloat1622float2(reinterpret_cast<const __nv_bfloat162*>(&rows[i])[j]);
  }
};

/// Two dims, 2 · (thread % 64) and the next, of all tokens of some chunks.
struct ValueColumns {
  __nv_bfloat162 pairs[kValueChunks][16];

  __device__ explicit ValueColumns(const Args& args) {
#pragma unroll
    for (int c = 0; c < kValueChunks; ++c) {
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        const int token = args.tile() * kTile + chunk(c) * 16 + i;
        pairs[c][i] = __nv_bfloat162{};
        if (token < args.tokens) {
          pairs[c][i] = *reinterpret_cast<const __nv_bfloat162*>(
              args.values + token * args.value_stride + args.head() * kHeadDim + threadIdx.x % 64 * 2);
        }
      }
    }
  }
  __device__ static int chunk(int c) { return threadIdx.x / 64 * kValueChunks + c; }
};

__device__ void sum_keys(const Args& args, float (*shared)[kHeadDim]) {
  const KeyRows keys(args, /*repeat=*/false);
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    float2 sum{};
#pragma unroll
    for (int i = 0; i < kKeySteps; ++i) {
      const float2 x = keys.pair(i, j);
      sum.x += x.x, sum.y += x.y;
    }
    *reinterpret_cast<float2*>(&shared[threadIdx.x / 16][threadIdx.x % 16 * 8 + 2 * j]) = sum;
  }
  __syncthreads();
  if (threadIdx.x >= kHeadDim) return;
  float sum = 0;
  for (int i = 0; i < kTokensAtOnce; ++i) sum += shared[i][threadIdx.x];
  args.sums_of(args.tile(), 0)[threadIdx.x] = sum;
}

__device__ void sum_values(const Args& args, float (*shared)[kHeadDim]) {
  const ValueColumns values(args);
  float2 sum{}, least{INFINITY, INFINITY}, largest{-INFINITY, -INFINITY};
#pragma unroll
  for (int c = 0; c < kValueChunks; ++c) {
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      if (args.tile() * kTile + ValueColumns::chunk(c) * 16 + i >= args.tokens) continue;
      const float2 x = __bfloat1622float2(values.pairs[c][i]);
      sum.x += x.x, sum.y += x.y;
      least.x = fminf(least.x, x.x), least.y = fminf(least.y, x.y);
      largest.x = fmaxf(largest.x, x.x), largest.y = fmaxf(largest.y, x.y);
    }
  }
  const int group = threadIdx.x / 64, dim = threadIdx.x % 64 * 2;
  *reinterpret_cast<float2*>(&shared[group][dim]) = sum;
  *reinterpret_cast<float2*>(&shared[kValueGroups + group][dim]) = least;
  *reinterpret_cast<float2*>(&shared[2 * kValueGroups + group][dim]) = largest;
  __syncthreads();
  if (threadIdx.x >= kHeadDim) return;
  float all = 0, low = INFINITY, high = -INFINITY;
  for (int i = 0; i < kValueGroups; ++i) {
    all += shared[i][threadIdx.x];
    low = fminf(low, shared[kValueGroups + i][threadIdx.x]);
    high = fmaxf(high, shared[2 * kValueGroups + i][threadIdx.x]);
  }
  args.sums_of(args.tile(), 1)[threadIdx.x] = all;
  args.sums_of(args.tile(), 2)[threadIdx.x] = low;
  args.sums_of(args.tile(), 3)[threadIdx.x] = high;
}

__global__ void __launch_bounds__(kThreads) sums_kernel(Args args) {
  __shared__ __align__(16) float shared[kTokensAtOnce][kHeadDim];
  args.takes_keys() ? sum_keys(args, shared) : sum_values(args, shared);
}

__device__ uint32_t int8_of(float x) { return static_cast<uint32_t>(__float2int_rn(x)) & 0xff; }

/// One thread for each of a head's dims.
__global__ void __launch_bounds__(kHeadDim) means_kernel(Args args) {
  const bool keys = args.takes_keys();
  const int head = blockIdx.x, to = head * kHeadDim + static_cast<int>(threadIdx.x);
  const float* sums = args.sums + static_cast<int64_t>(head) * args.tiles * 4 * kHeadDim + threadIdx.x;
  float sum = 0, low = INFINITY, high = -INFINITY;
#pragma unroll 8
  for (int i = 0; i < args.tiles; ++i, sums += 4 * kHeadDim) {
    sum += sums[keys ? 0 : kHeadDim];
    if (keys) continue;
    low = fminf(low, sums[2 * kHeadDim]);
    high = fmaxf(high, sums[3 * kHeadDim]);
  }
  const float mean = sum / static_cast<float>(args.tokens);
  if (keys) {
    args.key_mean[to] = mean;
  } else {
    args.value_mean[to] = mean;
    args.value_scale[to] = fmaxf(fmaxf(high - mean, mean - low), kLeast) / kLargest;
  }
}

__device__ void write_keys(const Args& args, float* largest_of) {
  const KeyRows keys(args, /*repeat=*/true);
  float mean[8], largest = 0;
#pragma unroll
  for (int j = 0; j < 8; j += 4) {
    *reinterpret_cast<float4*>(mean + j) =
        *reinterpret_cast<const float4*>(args.key_mean + args.head() * kHeadDim + threadIdx.x % 16 * 8 + j);
  }
#pragma unroll
  for (int i = 0; i < kKeySteps; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float2 x = keys.pair(i, j);
      largest = larger(largest, larger(fabsf(x.x - mean[2 * j]), fabsf(x.y - mean[2 * j + 1])));
    }
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) largest = larger(largest, __shfl_xor_sync(~0u, largest, step));
  if (threadIdx.x % 32 == 0) largest_of[threadIdx.x / 32] = largest;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kThreads / 32; ++i) largest = larger(largest, largest_of[i]);
  largest = larger(largest, kLeast);
  const float scale = 127.0f / largest;
  uint8_t* const out = args.packed_keys + args.place() * kKeyTile;
  const int group = threadIdx.x % 16;
#pragma unroll
  for (int i = 0; i < kKeySteps; ++i) {
    uint32_t words[2] = {0, 0};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float2 x = keys.pair(i, j);
      words[j / 2] |= (int8_of((x.x - mean[2 * j]) * scale) | int8_of((x.y - mean[2 * j + 1]) * scale) << 8)
                      << j % 2 * 16;
    }
    *reinterpret_cast<uint2*>(out + (group / 2 * kTile + KeyRows::at(i)) * 16 + group % 2 * 8) =
        make_uint2(words[0], words[1]);
  }
  if (threadIdx.x == 0) {
    // PackedLayout::flags().
    const int flags = args.tile() + 1 == args.tiles ? 3 : args.tile() % kPackedStretch == kPackedStretch - 1;
    *reinterpret_cast<float4*>(out + kKeyNumbers) =
        make_float4(largest / 127.0f, __int_as_float(flags), 0, 0);
  }
}

/// Numbers of a row of a chunk, 16 tokens' in the order of PackedLayout::place_in_chunk().
struct ChunkRow {
  uint32_t words[4] = {};

  __device__ __forceinline__ void set(int token, uint32_t number) {
    const int place = token / 2 % 4 * 4 + token / 8 * 2 + token % 2;
    words[place / 4] |= number << place % 4 * 8;
  }
  __device__ __forceinline__ void store(uint8_t* to) const {
    *reinterpret_cast<uint4*>(to) = make_uint4(words[0], words[1], words[2], words[3]);
  }
};

__device__ void write_values(const Args& args) {
  constexpr uint32_t kOne = 0x38;  // in e4m3
  const ValueColumns values(args);
  const int group = threadIdx.x % 64, from = args.head() * kHeadDim + group * 2;
  const float mean[2] = {args.value_mean[from], args.value_mean[from + 1]};
  const float scale[2] = {1.0f / args.value_scale[from], 1.0f / args.value_scale[from + 1]};
#pragma unroll
  for (int c = 0; c < kValueChunks; ++c) {
    ChunkRow rows[2], ones;
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      if (args.tile() * kTile + ValueColumns::chunk(c) * 16 + i >= args.tokens) continue;
      const float2 x = __bfloat1622float2(values.pairs[c][i]);
      rows[0].set(i, __nv_cvt_float_to_fp8((x.x - mean[0]) * scale[0], __NV_SATFINITE, __NV_E4M3));
      rows[1].set(i, __nv_cvt_float_to_fp8((x.y - mean[1]) * scale[1], __NV_SATFINITE, __NV_E4M3));
      ones.set(i, kOne);
    }
    uint8_t* const out =
        args.packed_values + args.place() * kValueTile + ValueColumns::chunk(c) * kValueRows * 16;
    rows[0].store(out + group * 32);
    rows[1].store(out + group * 32 + 16);
    if (group < kValueRows - kHeadDim) {
      if (group > 0) ones = {};
      ones.store(out + (kHeadDim + group) * 16);
    }
  }
}

__global__ void __launch_bounds__(kThreads) write_kernel(Args args) {
  __shared__ float largest_of[kThreads / 32];
  args.takes_keys() ? write_keys(args, largest_of) : write_values(args);
}

}  // namespace

int64_t pack_sums(int64_t tokens, int64_t heads) {
  return PackedLayout::tiles(tokens) * heads * 4 * kHeadDim;
}

cudaError_t pack(const Pack& given, cudaStream_t stream) {
  const int64_t tokens = given.tokens, heads = given.heads;
  const auto floats_at = [&](int64_t bytes) { return reinterpret_cast<float*>(given.packed + bytes); };
  const Args args{static_cast<int>(tokens),
                  static_cast<int>(heads),
                  static_cast<int>(PackedLayout::tiles(tokens)),
                  static_cast<const __nv_bfloat16*>(given.keys),
                  static_cast<const __nv_bfloat16*>(given.values),
                  given.key_stride,
                  given.value_stride,
                  given.packed,
                  given.packed + kPacked.values_at(tokens, heads),
                  floats_at(kPacked.key_mean_at(tokens, heads)),
                  floats_at(kPacked.value_scale_at(tokens, heads)),
                  floats_at(kPacked.value_mean_at(tokens, heads)),
                  given.sums};
  const dim3 grid(static_cast<unsigned>(args.tiles), static_cast<unsigned>(heads),
                  given.keys != nullptr && given.values != nullptr ? 2 : 1);
  sums_kernel<<<grid, kThreads, 0, stream>>>(args);
  means_kernel<<<dim3(static_cast<unsigned>(heads), 1, grid.z), kHeadDim, 0, stream>>>(args);
  write_kernel<<<grid, kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

}  // namespace latentcast::cuda
