// What attention over packed keys and values works on, and how its tiles come into shared memory: one warp
// copies them into rings of buffers, the others say when they are done with them.
#pragma once

#include <cstdint>

#include "attention_work.cuh"

namespace latentcast::cuda {

constexpr int kWorkers = 2;  // warpgroups
constexpr int kBuffers = 3;  // of keys, and as many of values
// Shared memory: sums in float32, what means of keys add to exponents, the rings, their barriers: for keys
// full and empty, for values full and empty.
constexpr int kBiasesAt = kWorkers * kRows * kHeadDim * 4;
constexpr int kKeysAt = kBiasesAt + kMostPieces * kWorkers * kRows * 4;
constexpr int kValuesAt = kKeysAt + kBuffers * kKeyTile;
constexpr int kBarsAt = kValuesAt + kBuffers * kValueTile;
constexpr int kShared = kBarsAt + 4 * 8 * kBuffers + 128;

struct Piece {
  const uint8_t *keys, *values;
  const float *key_mean, *value_scale, *value_mean;
  int tiles;
};

/// Of the kernel; an item of work is 128 queries of a head.
struct Args {
  int queries, heads;
  int groups, items;  // of a head's queries; of work
  const __nv_bfloat16* query;
  __nv_bfloat16* out;
  int pieces, tiles;
  Piece piece[kMostPieces];
};

/// Rings of buffers and their barriers, in shared memory from here on.
struct Rings {
  uint32_t base;

  __device__ __forceinline__ uint32_t keys(int i) const { return base + kKeysAt + i * kKeyTile; }
  __device__ __forceinline__ uint32_t values(int i) const { return base + kValuesAt + i * kValueTile; }
  __device__ __forceinline__ Barrier keys_full(int i) const { return bar(0, i); }
  __device__ __forceinline__ Barrier keys_empty(int i) const { return bar(1, i); }
  __device__ __forceinline__ Barrier values_full(int i) const { return bar(2, i); }
  __device__ __forceinline__ Barrier values_empty(int i) const { return bar(3, i); }

  __device__ void init() const {
    for (int i = 0; i < kBuffers; ++i) {
      keys_full(i).init(1), keys_empty(i).init(kWorkers * 4);  // by each warp that computes
      values_full(i).init(1), values_empty(i).init(kWorkers * 4);
    }
  }
  /// One thread.
  __device__ void copy_tiles(const Args& args) const {
    Ring ring{0, 1};  // the phase before the first counts as over
    for (int item = blockIdx.x; item < args.items; item += gridDim.x) {
      const int head = item / args.groups;
      for (int p = 0; p < args.pieces; ++p) {
        const Piece& piece = args.piece[p];
        const int64_t first = static_cast<int64_t>(head) * piece.tiles;
        for (int64_t tile = first; tile < first + piece.tiles; ++tile, ring.advance(kBuffers)) {
          const int i = ring.index;
          copy(keys(i), piece.keys + tile * kKeyTile, kKeyTile, keys_empty(i), keys_full(i), ring.parity);
          copy(values(i), piece.values + tile * kValueTile, kValueTile, values_empty(i), values_full(i),
               ring.parity);
        }
      }
    }
  }

 private:
  __device__ __forceinline__ Barrier bar(int which, int i) const {
    return {base + kBarsAt + 8 * (which * kBuffers + i)};
  }
  __device__ __forceinline__ static void copy(uint32_t to, const uint8_t* from, uint32_t bytes, Barrier empty,
                                              Barrier full, uint32_t parity) {
    empty.wait(parity);
    full.expect(bytes);
    copy_bytes(to, from, bytes, full);
  }
};

}  // namespace latentcast::cuda
