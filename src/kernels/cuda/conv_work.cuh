// Convolutions as sums of matrix products over the taps, for Hopper GPUs: one warp copies, two warpgroups
// multiply. A block of threads takes a tile of pixels of one frame and all their output channels (or 192 of
// them). For each earlier or present frame and each 32 channels the tile's input comes into shared memory
// once, with a rim of one pixel, and all taps read it there, each from a place shifted by its offset: without
// a swizzle a shift by a pixel is a shift by 16 bytes, which a matrix's descriptor can express.
#pragma once

#include "causal_conv.h"
#include "hopper.cuh"
#include <cuda_bf16.h>

namespace latentcast::cuda {

constexpr int kMostColumns = 768;  // of an output: their bias lies in shared memory
constexpr int kChunk = 32;         // channels at once
constexpr int kGroups = kChunk / 8;
constexpr int kConvThreads = 384;

/// CausalConv as the kernel takes it.
struct Args {
  int in, out, frames, height, width;
  const __nv_bfloat16* weight;
  const float *bias, *gain;
  const __nv_bfloat16* residual;
  __nv_bfloat16 *sum, *active;
};

template <ConvKind kKind_, int kColumns_, int kBlocks_, int kTileWidth_, int kTileHeight_, int kInputs_,
          int kWeights_>
struct Shape {
  static constexpr ConvKind kKind = kKind_;
  static constexpr int kColumns = kColumns_;  // output channels of a tile
  static constexpr int kBlocks = kBlocks_;    // blocks of 8 x 8 pixels that a warpgroup has
  static constexpr int kTileWidth = kTileWidth_, kTileHeight = kTileHeight_;
  static constexpr int kInputs = kInputs_, kWeights = kWeights_;  // buffers in shared memory
  static constexpr int kTapFrames = kKind == ConvKind::kSpaceTime || kKind == ConvKind::kTimeDoubling ? 3 : 1;
  static constexpr int kTapRows = kKind == ConvKind::kSpaceTime         ? 3
                                  : kKind == ConvKind::kPictureDoubling ? 2
                                                                        : 1;
  // A picture's doubling is four convolutions of the small picture, one for each phase of rows and columns.
  static constexpr int kPhases = kKind == ConvKind::kPictureDoubling ? 4 : 1;
  static constexpr int kRimWidth = kTileWidth + 2, kRimHeight = kTileHeight + 2;
  static constexpr int kBox = kRimWidth * kRimHeight * 16;  // bytes of 8 channels
  static constexpr int kPlane = (kBox + 127) / 128 * 128;
  static constexpr int kInputBytes = kGroups * kPlane;
  static constexpr int kWeightBytes = kTapRows * kGroups * kColumns * 16;  // a row of taps
  static constexpr int kShared = kInputs * kInputBytes + kWeights * kWeightBytes + 128;
  static_assert(kTileWidth / 8 * (kTileHeight / 8) == 2 * kBlocks);
};

/// A tile's place.
struct Tile {
  int frame, part, phase, x, y;

  template <class S>
  __device__ static Tile of(int number, const Args& args) {
    Tile tile{};
    const auto next = [&number](int count) {
      const int rest = number % count;
      number /= count;
      return rest;
    };
    tile.frame = next(args.frames);
    tile.part = next((args.out + S::kColumns - 1) / S::kColumns);
    tile.phase = next(S::kPhases);
    tile.x = next((args.width + S::kTileWidth - 1) / S::kTileWidth) * S::kTileWidth;
    tile.y = number * S::kTileHeight;
    return tile;
  }
};

/// Of a ring of buffers: full ones, then empty ones.
struct Barriers {
  uint32_t address;
  int size;
  __device__ Barrier full(int i) const { return {address + 8 * i}; }
  __device__ Barrier empty(int i) const { return {address + 8 * (size + i)}; }
};

template <class S>
struct Work {
  uint32_t inputs, weights;  // shared memory
  Barriers input_bars, weight_bars;
  int first, last;  // tiles
  Args args;

  __device__ int chunks() const { return args.in / kChunk; }

  /// One thread.
  __device__ void copy(const CUtensorMap& past, const CUtensorMap& x) const {
    Ring input{0, 1}, weight{0, 1};  // the phase before the first counts as over
    for (int number = first; number < last; ++number) {
      const Tile tile = Tile::of<S>(number, args);
      const int parts = (args.out + S::kColumns - 1) / S::kColumns;
      const __nv_bfloat16* from = args.weight + static_cast<int64_t>(tile.phase * parts + tile.part) *
                                                    S::kTapFrames * chunks() * S::kTapRows *
                                                    (S::kWeightBytes / 2);
      for (int dt = 0; dt < S::kTapFrames; ++dt) {
        const int frame = tile.frame + dt - (S::kTapFrames - 1);
        const CUtensorMap& map = frame < 0 ? past : x;
        for (int chunk = 0; chunk < chunks(); ++chunk) {
          input_bars.empty(input.index).wait(input.parity);
          const Barrier done = input_bars.full(input.index);
          done.expect(kGroups * S::kBox);
          for (int group = 0; group < kGroups; ++group) {
            copy_box(inputs + input.index * S::kInputBytes + group * S::kPlane, &map, done,
                     chunk * kChunk + 8 * group, tile.x - 1, tile.y - 1, frame < 0 ? frame + 2 : frame);
          }
          input.advance(S::kInputs);
          for (int dh = 0; dh < S::kTapRows; ++dh, from += S::kWeightBytes / 2) {
            weight_bars.empty(weight.index).wait(weight.parity);
            const Barrier there = weight_bars.full(weight.index);
            there.expect(S::kWeightBytes);
            copy_bytes(weights + weight.index * S::kWeightBytes, from, S::kWeightBytes, there);
            weight.advance(S::kWeights);
          }
        }
      }
    }
  }

  /// A warpgroup, 0 or 1.
  __device__ void multiply_all(int warpgroup, const float* bias, const float* gain) const {
    Ring input{0, 0}, weight{0, 0};
    float sums[S::kBlocks][S::kColumns / 2];
    const bool speaks = threadIdx.x % 128 == 0;
    for (int number = first; number < last; ++number) {
      const Tile tile = Tile::of<S>(number, args);
      // Where the first tap reads, counted from the rim's corner.
      const int top = S::kTapRows == 3 ? 0 : S::kTapRows == 2 ? tile.phase / 2 : 1;
      const int left = S::kTapRows == 3 ? 0 : S::kTapRows == 2 ? tile.phase % 2 : 1;
      int add = 0, read_input = -1, read_weight = -1;
      for (int i = 0; i < S::kTapFrames * chunks(); ++i) {
        input_bars.full(input.index).wait(input.parity);
        const uint32_t a = inputs + input.index * S::kInputBytes;
#pragma unroll 1
        for (int dh = 0; dh < S::kTapRows; ++dh) {
          weight_bars.full(weight.index).wait(weight.parity);
          const uint32_t b = weights + weight.index * S::kWeightBytes;
          products_fence();
#pragma unroll
          for (int dw = 0; dw < S::kTapRows; ++dw) {
#pragma unroll
            for (int k = 0; k < kGroups; k += 2) {
              const uint64_t right = matrix(b + (dw * kGroups + k) * S::kColumns * 16, S::kColumns * 16, 128);
#pragma unroll
              for (int m = 0; m < S::kBlocks; ++m) {
                const int y = block_y(warpgroup, m) + top + dh, x = block_x(warpgroup, m) + left + dw;
                multiply(
                    sums[m],
                    matrix(a + k * S::kPlane + (y * S::kRimWidth + x) * 16, S::kPlane, S::kRimWidth * 16),
                    right, add);
              }
              add = 1;
            }
          }
          products_commit();
          products_wait<1>();
          // The products before these are done, and so is what they read.
          if (speaks && read_weight >= 0) weight_bars.empty(read_weight).arrive();
          if (speaks && dh == 0 && read_input >= 0) input_bars.empty(read_input).arrive();
          read_weight = weight.index;
          weight.advance(S::kWeights);
        }
        read_input = input.index;
        input.advance(S::kInputs);
      }
      products_wait<0>();
      if (speaks) {
        weight_bars.empty(read_weight).arrive();
        input_bars.empty(read_input).arrive();
      }
#pragma unroll
      for (int m = 0; m < S::kBlocks; ++m) {
        finish(tile, block_x(warpgroup, m), block_y(warpgroup, m), sums[m], bias, gain);
      }
    }
  }

  __device__ static int block_x(int warpgroup, int m) {
    return (warpgroup * S::kBlocks + m) % (S::kTileWidth / 8) * 8;
  }
  __device__ static int block_y(int warpgroup, int m) {
    return (warpgroup * S::kBlocks + m) / (S::kTileWidth / 8) * 8;
  }

  __device__ void finish(const Tile& tile, int block_x, int block_y, const float (&sums)[S::kColumns / 2],
                         const float* bias, const float* gain) const {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = warp * 16 + half * 8 + lane / 4;
      const int y = tile.y + block_y + row / 8, x = tile.x + block_x + row % 8;
      finish_row(place(tile, y, x), y < args.height && x < args.width, tile.part, half, sums, bias, gain);
    }
  }

  /// Index of a pixel's first output channel.
  __device__ int64_t place(const Tile& tile, int y, int x) const {
    int64_t frame = tile.frame, height = args.height, width = args.width, channels = args.out;
    int64_t column = static_cast<int64_t>(tile.part) * S::kColumns;
    if constexpr (S::kKind == ConvKind::kTimeDoubling) {
      channels /= 2;
      frame = 2 * frame + (column >= channels);
      column %= channels;
    } else if constexpr (S::kKind == ConvKind::kPictureDoubling) {
      height *= 2, width *= 2;
      y = 2 * y + tile.phase / 2, x = 2 * x + tile.phase % 2;
    }
    return ((frame * height + y) * width + x) * channels + column;
  }

  __device__ void finish_row(int64_t at, bool inside, int part, int half,
                             const float (&sums)[S::kColumns / 2], const float* bias,
                             const float* gain) const {
    const int quarter = threadIdx.x % 4;
    if constexpr (S::kColumns < 32) {
      // A few channels, of which `out` count: two a thread.
      const int column = 2 * quarter;
      for (int i = 0; i < 2; ++i) {
        if (inside && column + i < args.out) {
          args.sum[at + column + i] = __float2bfloat16(sums[2 * half + i] + bias[column + i]);
        }
      }
    } else {
      constexpr int kPieces = S::kColumns / 32;
      uint4 values[kPieces];  // 8 channels each, from 32 · piece + 8 · quarter on
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) {
        uint32_t words[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int column = 8 * (4 * piece + j) + 2 * quarter;
          const float2 b = *reinterpret_cast<const float2*>(bias + part * S::kColumns + column);
          const int i = 4 * (4 * piece + j) + 2 * half;
          const __nv_bfloat162 pair = __floats2bfloat162_rn(sums[i] + b.x, sums[i + 1] + b.y);
          words[j] = reinterpret_cast<const uint32_t&>(pair);
        }
        values[piece] = gather(words, quarter);
      }
      write_row(at, inside, quarter, values, gain);
    }
  }

  /// The four threads of a row each have a pair of 4 times 8 channels; afterwards each has 8 of one after the
  /// other.
  __device__ static uint4 gather(uint32_t (&w)[4], int quarter) {
    const bool odd = quarter & 1, high = quarter & 2;
    const uint32_t a = __shfl_xor_sync(~0u, odd ? w[0] : w[1], 1),
                   b = __shfl_xor_sync(~0u, odd ? w[2] : w[3], 1);
    if (odd) {
      w[0] = a, w[2] = b;
    } else {
      w[1] = a, w[3] = b;
    }
    const uint32_t c = __shfl_xor_sync(~0u, high ? w[0] : w[2], 2),
                   d = __shfl_xor_sync(~0u, high ? w[1] : w[3], 2);
    if (high) {
      w[0] = c, w[1] = d;
    } else {
      w[2] = c, w[3] = d;
    }
    return make_uint4(w[0], w[1], w[2], w[3]);
  }

  template <int kPieces>
  __device__ void write_row(int64_t at, bool inside, int quarter, uint4 (&values)[kPieces],
                            const float* gain) const {
    float squares = 0;
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
      const int64_t index = at + 32 * piece + 8 * quarter;
      __nv_bfloat162* pairs = reinterpret_cast<__nv_bfloat162*>(&values[piece]);
      if (args.residual != nullptr && inside) {
        const uint4 other = *reinterpret_cast<const uint4*>(args.residual + index);
        const __nv_bfloat162* others = reinterpret_cast<const __nv_bfloat162*>(&other);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float2 a = __bfloat1622float2(pairs[i]), b = __bfloat1622float2(others[i]);
          pairs[i] = __floats2bfloat162_rn(a.x + b.x, a.y + b.y);
        }
      }
      if (args.sum != nullptr && inside) *reinterpret_cast<uint4*>(args.sum + index) = values[piece];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 a = __bfloat1622float2(pairs[i]);
        squares += a.x * a.x + a.y * a.y;
      }
    }
    if (args.active == nullptr) return;
    squares += __shfl_xor_sync(~0u, squares, 1);
    squares += __shfl_xor_sync(~0u, squares, 2);
    // A NaN passes through, which fmaxf() would take for less than the least length.
    const float length = sqrtf(squares), scale = 1.0f / (length < 1e-12f ? 1e-12f : length);
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
      const int column = 32 * piece + 8 * quarter;
      __nv_bfloat162* pairs = reinterpret_cast<__nv_bfloat162*>(&values[piece]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 a = __bfloat1622float2(pairs[i]);
        const float2 g = *reinterpret_cast<const float2*>(gain + column + 2 * i);
        pairs[i] = __floats2bfloat162_rn(silu(a.x * scale * g.x), silu(a.y * scale * g.y));
      }
      if (inside) *reinterpret_cast<uint4*>(args.active + at + column) = values[piece];
    }
  }

  __device__ static float silu(float y) { return __fdividef(y, 1.0f + __expf(-y)); }
};

}  // namespace latentcast::cuda
