// Attention over packed keys and values, for Hopper GPUs: one warp copies, two warpgroups compute, each for
// 64 queries of one head. While one warpgroup makes weights of its products with the keys (exp2: as much work
// as the products), the tensor cores have the other's products, and its own with the values of the tile
// before.
#include <algorithm>

#include "attention_work.cuh"

namespace latentcast::cuda {
namespace {

constexpr int kThreads = 384;
constexpr int kWorkers = 2;  // warpgroups
constexpr int kBuffers = 3;  // of keys, and as many of values
// Shared memory: sums in float32, what means of keys add to exponents, queries, the rings, their barriers:
// for keys full and empty, for values full and empty.
constexpr int kBiasesAt = kWorkers * kRows * kHeadDim * 4;
constexpr int kQueriesAt = kBiasesAt + kMostPieces * kWorkers * kRows * 4;
constexpr int kKeysAt = kQueriesAt + kWorkers * kRows * kHeadDim;
constexpr int kValuesAt = kKeysAt + kBuffers * kKeyTile;
constexpr int kBarsAt = kValuesAt + kBuffers * kValueTile;
constexpr int kShared = kBarsAt + 4 * 8 * kBuffers + 128;

struct Piece {
  const uint8_t *keys, *values;
  const float *key_mean, *value_scale, *value_mean;
  int tokens, tiles;
};

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
      keys_full(i).init(1), keys_empty(i).init(kWorkers);
      values_full(i).init(1), values_empty(i).init(kWorkers);
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

__device__ __forceinline__ float shared_float(uint32_t address) {
  float x;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(address) : "memory");
  return x;
}

/// A warpgroup.
struct Worker {
  const Args& args;
  Rings rings;
  float4* totals;    // [16][256 threads], this thread's first
  uint32_t biases;   // [pieces][128 rows], the thread's first row's; shared memory
  uint32_t queries;  // the warpgroup's, in 8 bits; shared memory
  uint32_t speaks;   // for the warpgroup
  int number;
  Ring ring{0, 0};

  /// Of the thread's first row.
  __device__ __forceinline__ static int row_of_thread() {
    return threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4;
  }

  /// Adds a stretch's sums to the totals, with the scales and the means of its piece's values.
  __device__ __forceinline__ void add_to_totals(RowState& rows, const float (&sums)[kValueRows / 2],
                                                const Piece& piece, int head) const {
    float keep[2], part[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      keep[half] = exp2_of(rows.base[half] - rows.top[half]);
      // The weights' sum is behind the dims, with the first of the row's four threads; the others have zeros.
      part[half] = row_sum(sums[kHeadDim / 2 + 2 * half]);
      rows.total[half] = rows.total[half] * keep[half] + part[half];
      rows.base[half] = rows.top[half];
    }
    const int at = head * kHeadDim + threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < kHeadDim / 8; ++i) {
      const float2 scale = *reinterpret_cast<const float2*>(piece.value_scale + at + 8 * i);
      const float2 mean = *reinterpret_cast<const float2*>(piece.value_mean + at + 8 * i);
      float4 total = totals[i * 256];
      total.x = total.x * keep[0] + sums[4 * i] * scale.x + part[0] * mean.x;
      total.y = total.y * keep[0] + sums[4 * i + 1] * scale.y + part[0] * mean.y;
      total.z = total.z * keep[1] + sums[4 * i + 2] * scale.x + part[1] * mean.x;
      total.w = total.w * keep[1] + sums[4 * i + 3] * scale.y + part[1] * mean.y;
      totals[i * 256] = total;
    }
  }

  __device__ __forceinline__ void write(const RowState& rows, int head, int row) const {
    const float inverse[2] = {1.0f / rows.total[0], 1.0f / rows.total[1]};
    __nv_bfloat16* const out =
        args.out + (static_cast<int64_t>(row) * args.heads + head) * kHeadDim + threadIdx.x % 4 * 2;
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

  /// Brings queries, and what the means of keys add to their exponents, to shared memory. Gives the queries'
  /// scales.
  __device__ __forceinline__ void prepare(int head, int row, float (&scale)[2]) const {
    const Queries in_8_bits(args.query, args.queries, args.heads, head, row);
    scale[0] = in_8_bits.scale[0], scale[1] = in_8_bits.scale[1];
#pragma unroll
    for (int i = 0; i < kHeadDim / 8; ++i) totals[i * 256] = make_float4(0, 0, 0, 0);
#pragma unroll 2
    for (int p = 0; p < args.pieces; ++p) {
      float bias[2];
      in_8_bits.bias(args.piece[p].key_mean + head * kHeadDim, bias);
      if (threadIdx.x % 4 == 0) {
        const uint32_t to = biases + p * kWorkers * kRows * 4;
        asm volatile("st.shared.f32 [%0], %1;\nst.shared.f32 [%0 + 32], %2;" ::"r"(to), "f"(bias[0]),
                     "f"(bias[1])
                     : "memory");
      }
    }
    meet();  // all warps are done with the last queries
    in_8_bits.store(queries);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    meet();
  }

  /// Of the warpgroup's threads.
  __device__ __forceinline__ void meet() const {
    asm volatile("bar.sync %0, 128;" ::"r"(1 + number) : "memory");
  }

  /// Weights of the ring's tile of keys, whose products are there once `kUnderWay` later groups are; its
  /// flags.
  template <int kUnderWay>
  __device__ __forceinline__ int weigh_tile(int32_t (&s)[kTile / 2], const float (&query_scale)[2],
                                            uint32_t of_piece, const float (&top)[2], Weights& weights) {
    const uint32_t tail = rings.keys(ring.index) + kKeyNumbers;
    const float key_scale = shared_float(tail);
    const int flags = __float_as_int(shared_float(tail + 4));
    const float bias[2] = {shared_float(of_piece), shared_float(of_piece + 32)};
    const float scale[2] = {query_scale[0] * key_scale, query_scale[1] * key_scale};
    products_wait<kUnderWay>();
    settle(s);
    if (speaks) rings.keys_empty(ring.index).arrive();
    weigh(s, scale, bias, top, weights);
    return flags;
  }

  __device__ __forceinline__ void multiply_next_keys(int32_t (&s)[kTile / 2]) const {
    rings.keys_full(ring.index).wait(ring.parity);
    products_fence();
    uint32_t left = queries >> 4;
    asm volatile("" : "+r"(left));  // so that what follows of it is not kept, for want of registers
    multiply_keys(s, left, rings.keys(ring.index) >> 4);
    products_commit();
  }
  __device__ __forceinline__ void multiply_next_values(float (&sums)[kValueRows / 2],
                                                       const uint32_t (&weights)[kTile / 8], const Ring& at,
                                                       int add) const {
    rings.values_full(at.index).wait(at.parity);
    products_fence();
    multiply_values(sums, weights, rings.values(at.index) >> 4, add);
    products_commit();
  }
  __device__ __forceinline__ void finish_values(float (&sums)[kValueRows / 2], const Ring& at) const {
    products_wait<0>();
    settle(sums);
    if (speaks) rings.values_empty(at.index).arrive();
  }

  __device__ __forceinline__ void attend(int head, int first) {
    const int row = first + row_of_thread();
    float scale[2];
    prepare(head, row, scale);
    RowState rows;
    float sums[kValueRows / 2];
    uint32_t of_piece = biases;  // of the tile whose weights are made
    int flags, piece = 0;        // of the tile whose product with the values comes next
    Weights weights;
    {
      int32_t s[kTile / 2];
      multiply_next_keys(s);
      flags = weigh_tile<0>(s, scale, of_piece, rows.top, weights);
      rows.top[0] = weights.top[0], rows.top[1] = weights.top[1];
    }
    int add = 0;
    for (int n = 1; n < args.tiles; ++n) {
      const Ring before = ring;
      ring.advance(kBuffers);
      int32_t s[kTile / 2];
      multiply_next_keys(s);
      multiply_next_values(sums, weights.numbers, before, add);
      if (flags & 2) of_piece += kWorkers * kRows * 4;
      Weights next;
      const int next_flags = weigh_tile<1>(s, scale, of_piece, rows.top, next);
      const float keep[2] = {exp2_of(rows.top[0] - next.top[0]), exp2_of(rows.top[1] - next.top[1])};
      const bool changed = __any_sync(~0u, keep[0] != 1 || keep[1] != 1);
      // Never, as weights have no sign; but so the compiler does all of the above before it waits.
      if (next.numbers[kTile / 8 - 1] & next.numbers[kTile / 8 - 2] & 0x80808080) __trap();
      finish_values(sums, before);
      add = 1;
      if (flags != 0) {
        add_to_totals(rows, sums, args.piece[piece], head);
        add = 0;
        piece += flags / 2;
      } else if (changed) {
#pragma unroll
        for (int i = 0; i < kValueRows / 2; ++i) sums[i] *= keep[i / 2 % 2];
      }
      flags = next_flags;
      rows.top[0] = next.top[0], rows.top[1] = next.top[1];
#pragma unroll
      for (int i = 0; i < kTile / 8; ++i) {
        // Not by assignment: these are read until here.
        asm volatile("mov.b32 %0, %1;" : "=r"(weights.numbers[i]) : "r"(next.numbers[i]));
      }
    }
    multiply_next_values(sums, weights.numbers, ring, add);
    finish_values(sums, ring);
    ring.advance(kBuffers);
    add_to_totals(rows, sums, args.piece[piece], head);
    write(rows, head, row);
  }

  __device__ void attend_all() {
    for (int item = blockIdx.x; item < args.items; item += gridDim.x) {
      attend(item / args.groups, item % args.groups * kWorkers * kRows + number * kRows);
    }
  }
};

__global__ void __launch_bounds__(kThreads, 1) attention_kernel(const __grid_constant__ Args args) {
  extern __shared__ uint8_t shared[];
  uint32_t base = (shared_address(shared) + 127) & ~127u;
  uint8_t* const aligned = shared + (base - shared_address(shared));
  asm volatile("" : "+r"(base));  // kept, and not computed anew wherever it is needed
  const Rings rings{base};
  if (threadIdx.x == 0) {
    rings.init();
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  const int warpgroup = threadIdx.x / 128;
  // What is given to one is taken from the other: the block has 168 registers a thread.
  if (warpgroup == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x == 0) rings.copy_tiles(args);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    const int number = warpgroup - 1;
    uint32_t biases = base + kBiasesAt + (number * kRows + Worker::row_of_thread()) * 4;
    uint32_t speaks = threadIdx.x % 128 == 0;
    uint32_t queries = base + kQueriesAt + number * kRows * kHeadDim;
    asm volatile("" : "+r"(biases), "+r"(speaks), "+r"(queries));  // kept too
    float4* const totals = reinterpret_cast<float4*>(aligned) + (threadIdx.x - 128);
    Worker{args, rings, totals, biases, queries, speaks, number}.attend_all();
  }
}

cudaError_t launch(const Args& args, cudaStream_t stream) {
  int device = 0, processors = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  const cudaError_t error =
      cudaFuncSetAttribute(attention_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared);
  if (error != cudaSuccess) return error;
  attention_kernel<<<std::min(processors, args.items), kThreads, kShared, stream>>>(args);
  return cudaGetLastError();
}

}  // namespace

cudaError_t packed_attention(const PackedAttention& given, cudaStream_t stream) {
  Args args{};
  args.queries = static_cast<int>(given.queries), args.heads = static_cast<int>(given.heads);
  args.groups = (args.queries + kWorkers * kRows - 1) / (kWorkers * kRows);
  args.items = args.heads * args.groups;
  args.query = static_cast<const __nv_bfloat16*>(given.query);
  args.out = static_cast<__nv_bfloat16*>(given.out);
  args.pieces = given.pieces;
  for (int i = 0; i < given.pieces; ++i) {
    const uint8_t* packed = given.packed[i];
    const int64_t tokens = given.tokens[i], heads = given.heads;
    const auto floats_at = [&](int64_t bytes) { return reinterpret_cast<const float*>(packed + bytes); };
    args.piece[i] = {packed,
                     packed + kPacked.values_at(tokens, heads),
                     floats_at(kPacked.key_mean_at(tokens, heads)),
                     floats_at(kPacked.value_scale_at(tokens, heads)),
                     floats_at(kPacked.value_mean_at(tokens, heads)),
                     static_cast<int>(tokens),
                     static_cast<int>(PackedLayout::tiles(tokens))};
    args.tiles += args.piece[i].tiles;
  }
  return launch(args, stream);
}

}  // namespace latentcast::cuda
