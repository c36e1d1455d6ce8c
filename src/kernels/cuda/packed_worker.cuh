// A warpgroup that computes, in attention over packed keys and values.
#pragma once

#include "packed_rings.cuh"

namespace latentcast::cuda {

/// One pass over all tiles for 64 queries of a head.
struct Pass {
  int head;
  float scale[2];  // of the queries
  RowState rows;
  uint32_t biases;  // of the tile whose weights are made; shared memory
  int piece = 0;    // of the tile whose products with values come
  int flags = 0;    // of that tile
};

/// The tensor cores have a tile's products with keys first, then those of the tile before with values. When
/// the first are there, exponents are made of them; when the second are, weights of the exponents. Making
/// weights is exp2, whose unit all warps share: the warpgroups take turns at it, so that one has products
/// while the other makes weights. (Without turns they come to make weights at the same time, and then wait
/// for products at the same time.)
struct Worker {
  const Args& args;
  Rings rings;
  float4* totals;   // [16][256 threads], this thread's first
  uint32_t biases;  // [pieces][128 rows], the thread's first row's; shared memory
  uint32_t speaks;  // for its warp
  int number;
  Ring ring{0, 0};
  bool keys_there = false, values_there = false;  // of the next products; asked for before they are needed

  __device__ void attend_all() {
    if (number == 1) end_turn();  // the first is the other's
    for (int item = blockIdx.x; item < args.items; item += gridDim.x) {
      attend(item / args.groups, item % args.groups * kWorkers * kRows + number * kRows);
    }
  }

  /// Of the thread's first row.
  __device__ __forceinline__ static int row_of_thread() {
    return threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4;
  }

 private:
  __device__ __forceinline__ void begin_turn() const {
    asm volatile("bar.sync %0, 256;" ::"r"(1 + number) : "memory");
  }
  __device__ __forceinline__ void end_turn() const {
    asm volatile("bar.arrive %0, 256;" ::"r"(2 - number) : "memory");
  }

  /// Adds a stretch's sums, relative to `tops`, to the totals, with the scales and the means of its piece's
  /// values.
  __device__ __forceinline__ void add_to_totals(Pass& pass, const float (&tops)[2],
                                                const float (&sums)[kValueRows / 2]) const {
    const Piece& piece = args.piece[pass.piece];
    RowState& rows = pass.rows;
    float keep[2], part[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      keep[half] = exp2_of(rows.base[half] - tops[half]);
      // The weights' sum is behind the dims, with the first of the row's four threads; the others have zeros.
      part[half] = row_sum(sums[kHeadDim / 2 + 2 * half]);
      rows.total[half] = rows.total[half] * keep[half] + part[half];
      rows.base[half] = tops[half];
    }
    const int at = pass.head * kHeadDim + threadIdx.x % 4 * 2;
    const float *const scales = piece.value_scale + at, *const means = piece.value_mean + at;
#pragma unroll
    for (int i = 0; i < kHeadDim / 8; ++i) {
      const float2 scale = global_pair(scales + 8 * i);
      const float2 mean = global_pair(means + 8 * i);
      float4 total = totals[i * 256];
      total.x = total.x * keep[0] + sums[4 * i] * scale.x + part[0] * mean.x;
      total.y = total.y * keep[0] + sums[4 * i + 1] * scale.y + part[0] * mean.y;
      total.z = total.z * keep[1] + sums[4 * i + 2] * scale.x + part[1] * mean.x;
      total.w = total.w * keep[1] + sums[4 * i + 3] * scale.y + part[1] * mean.y;
      totals[i * 256] = total;
    }
  }

  __device__ __forceinline__ void write(const Pass& pass, int row) const {
    const float inverse[2] = {1.0f / pass.rows.total[0], 1.0f / pass.rows.total[1]};
    __nv_bfloat16* const out =
        args.out + (static_cast<int64_t>(row) * args.heads + pass.head) * kHeadDim + threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < kHeadDim / 8; ++i) {
      const float4 total = totals[i * 256];
      if (row < args.queries) {
        *reinterpret_cast<__nv_bfloat162*>(out + 8 * i) =
            __floats2bfloat162_rn(total.x * inverse[0], total.y * inverse[0]);
      }
      if (row + 8 < args.queries) {
        *reinterpret_cast<__nv_bfloat162*>(out + 8 * i + 8 * args.heads * kHeadDim) =
            __floats2bfloat162_rn(total.z * inverse[1], total.w * inverse[1]);
      }
    }
  }

  /// Brings what the means of keys add to exponents to shared memory. Gives the queries, in 8 bits.
  __device__ __forceinline__ void prepare(Pass& pass, int row, uint32_t (&queries)[16]) const {
    const Queries in_8_bits(args.query, args.queries, args.heads, pass.head, row);
#pragma unroll
    for (int half = 0; half < 2; ++half) pass.scale[half] = in_8_bits.scale[half];
#pragma unroll
    for (int i = 0; i < 16; ++i) queries[i] = in_8_bits.numbers[i];
#pragma unroll
    for (int i = 0; i < kHeadDim / 8; ++i) totals[i * 256] = make_float4(0, 0, 0, 0);
#pragma unroll 2
    for (int p = 0; p < args.pieces; ++p) {
      float bias[2];
      in_8_bits.bias(args.piece[p].key_mean + pass.head * kHeadDim, bias);
      if (threadIdx.x % 4 == 0) {
        const uint32_t to = biases + p * kWorkers * kRows * 4;
        asm volatile("st.shared.f32 [%0], %1;\nst.shared.f32 [%0 + 32], %2;" ::"r"(to), "f"(bias[0]),
                     "f"(bias[1])
                     : "memory");
      }
    }
    __syncwarp();
    pass.biases = biases;
  }

  __device__ __forceinline__ void start_keys(int32_t (&s)[kTile / 2], const uint32_t (&queries)[16]) {
    if (!keys_there) rings.keys_full(ring.index).wait(ring.parity);
    products_fence();
    multiply_keys(s, queries, rings.keys(ring.index) >> 4);
    products_commit();
    keys_there = false;
  }

  __device__ __forceinline__ void start_values(int keeps_sums, float (&sums)[kValueRows / 2],
                                               const uint32_t (&weights)[kTile / 8], const Ring& at) {
    if (!values_there) rings.values_full(at.index).wait(at.parity);
    products_fence();
    multiply_values(sums, weights, rings.values(at.index) >> 4, keeps_sums);
    products_commit();
    values_there = false;
  }

  /// When the products with the ring's tile of keys are there. `keep` is what is left of older weights.
  /// Gives the tile's flags.
  __device__ __forceinline__ int make_exponents(Pass& pass, int32_t (&s)[kTile / 2], float (&keep)[2]) const {
    // By the thread that says that the buffer may be filled again, so that nobody reads it after that.
    const float2 tail = shared_pair_if(speaks, rings.keys(ring.index) + kKeyNumbers);
    const float key_scale = __shfl_sync(~0u, tail.x, 0);
    const int flags = __shfl_sync(~0u, __float_as_int(tail.y), 0);
    if (pass.flags & 2) pass.biases += kWorkers * kRows * 4;
    float scale[2], offset[2];
    const float bias[2] = {shared_float(pass.biases), shared_float(pass.biases + 32)};
    products_wait<1>();
    settle(s);
    if (speaks) rings.keys_empty(ring.index).arrive();
    int largest[2];
    largest_of(s, largest);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      scale[half] = pass.scale[half] * key_scale;
      float& top = pass.rows.top[half];
      const float before = top;
      top = fmaxf(top, static_cast<float>(largest[half]) * scale[half] + bias[half]);
      keep[half] = exp2_of(before - top);
      offset[half] = bias[half] - top + kLift;
    }
    to_exponents(s, scale, offset);
    settle(s);
    return flags;
  }

  /// When the products of the tile before with values are there (before the first tile there are none):
  /// brings the sums to what the new weights are relative to; `tops` were those before. Gives whether the
  /// next products are added to the sums.
  __device__ __forceinline__ int settle_sums(Pass& pass, bool is_first, float (&sums)[kValueRows / 2],
                                             const float (&keep)[2], const float (&tops)[2]) const {
    const bool changed = __any_sync(~0u, keep[0] != 1 || keep[1] != 1);
    products_wait<0>();
    settle(sums);
    if (speaks && !is_first) rings.values_empty(ring.index == 0 ? kBuffers - 1 : ring.index - 1).arrive();
    if (pass.flags != 0) {
      add_to_totals(pass, tops, sums);
      pass.piece += pass.flags / 2;
      return 0;
    }
    if (changed) {
#pragma unroll
      for (int i = 0; i < kValueRows / 2; ++i) sums[i] *= keep[i / 2 % 2];
    }
    return !is_first;
  }

  /// From the ring's tile's products to its weights. Gives whether their products are added to the sums.
  __device__ __forceinline__ int tile(Pass& pass, bool is_first, int32_t (&s)[kTile / 2],
                                      float (&sums)[kValueRows / 2], uint32_t (&weights)[kTile / 8]) {
    const float tops[2] = {pass.rows.top[0], pass.rows.top[1]};
    float keep[2];
    const int flags = make_exponents(pass, s, keep);
    Ring next = ring;
    next.advance(kBuffers);
    keys_there = rings.keys_full(next.index).is_over(next.parity);
    values_there = rings.values_full(ring.index).is_over(ring.parity);
    const int keeps_sums = settle_sums(pass, is_first, sums, keep, tops);
    pass.flags = flags;
    begin_turn();
    weigh(s, weights);
    // Never, as weights have no sign; but so the compiler does all of the above before the turn ends.
    if (weights[kTile / 8 - 1] & weights[kTile / 8 - 2] & 0x80808080) __trap();
    end_turn();
    return keeps_sums;
  }

  __device__ __forceinline__ void attend(int head, int first) {
    const int row = first + row_of_thread();
    Pass pass{.head = head};
    uint32_t queries[16];
    prepare(pass, row, queries);
    int32_t s[kTile / 2];
    float sums[kValueRows / 2];
    uint32_t weights[kTile / 8];
    start_keys(s, queries);
    products_commit();  // in the place of products with values
    for (int n = 1; n < args.tiles; ++n) {
      const int keeps_sums = tile(pass, n == 1, s, sums, weights);
      const Ring before = ring;
      ring.advance(kBuffers);
      start_keys(s, queries);
      start_values(keeps_sums, sums, weights, before);
    }
    start_values(tile(pass, args.tiles == 1, s, sums, weights), sums, weights, ring);
    products_wait<0>();
    settle(sums);
    if (speaks) rings.values_empty(ring.index).arrive();
    ring.advance(kBuffers);
    keys_there = false;  // was asked for this pass
    add_to_totals(pass, pass.rows.top, sums);
    write(pass, row);
  }
};

}  // namespace latentcast::cuda
