// Attention over packed keys and values, for Hopper GPUs: one warp copies, two warpgroups compute, each for
// 64 queries of one head. While one warpgroup's weights are made from its products with the keys (exp2: as
// much work as the products), the tensor cores have the other's products, and its own with the values of the
// tile before.
#include <algorithm>

#include "attention_work.cuh"

namespace latentcast::cuda {
namespace {

constexpr int kThreads = 384;
constexpr int kWorkers = 2;  // warpgroups
constexpr int kRows = 64;    // of a warpgroup
constexpr int kKeyBuffers = 4, kValueBuffers = 3;
constexpr int kTotals = kWorkers * kRows * kHeadDim * 4;
constexpr int kBiases = kMostPieces * kWorkers * kRows * 4;
constexpr int kShared = kTotals + kBiases + kKeyBuffers * kKeyTile + kValueBuffers * kValueTile + 128;
// The tensor cores' sums of 8-bit numbers have some 14 bits: after so many tiles they are added to float32.
constexpr int kStretch = 10;
constexpr bool kTurns = true;  // products are issued by one warpgroup after the other

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

/// A ring of buffers in shared memory, and their barriers: full, then empty.
template <int kCount, int kBytes>
struct Buffers {
  uint32_t address, bars;
  __device__ __forceinline__ uint32_t at(int i) const { return address + i * kBytes; }
  __device__ __forceinline__ Barrier full(int i) const { return {bars + 8 * i}; }
  __device__ __forceinline__ Barrier empty(int i) const { return {bars + 8 * (kCount + i)}; }
  __device__ void init() const {
    for (int i = 0; i < kCount; ++i) full(i).init(1), empty(i).init(kWorkers);
  }
  /// The next tile goes into the ring.
  __device__ __forceinline__ void copy(Ring& ring, const uint8_t* from) const {
    empty(ring.index).wait(ring.parity);
    full(ring.index).expect(kBytes);
    copy_bytes(at(ring.index), from, kBytes, full(ring.index));
    ring.advance(kCount);
  }
  /// A warpgroup needs the ring's tile no longer.
  __device__ __forceinline__ void release(Ring& ring) const {
    if (threadIdx.x % 128 == 0) empty(ring.index).arrive();
    ring.advance(kCount);
  }
};
using Keys = Buffers<kKeyBuffers, kKeyTile>;
using Values = Buffers<kValueBuffers, kValueTile>;

/// A tile among all pieces' tiles.
struct Place {
  int piece = 0, tile = 0;

  __device__ __forceinline__ void advance(const Args& args) {
    if (++tile == args.piece[piece].tiles) tile = 0, ++piece;
  }
  /// Whether the sums go to the totals after it: a piece has scales of its own.
  __device__ __forceinline__ bool ends_stretch(const Args& args) const {
    return tile + 1 == args.piece[piece].tiles || tile % kStretch == kStretch - 1;
  }
};

/// One thread.
__device__ void copy_tiles(const Args& args, const Keys& keys, const Values& values) {
  Ring key{0, 1}, value{0, 1};  // the phase before the first counts as over
  for (int item = blockIdx.x; item < args.items; item += gridDim.x) {
    const int head = item / args.groups;
    for (int p = 0; p < args.pieces; ++p) {
      const Piece& piece = args.piece[p];
      const int64_t first = static_cast<int64_t>(head) * piece.tiles;
      for (int64_t tile = first; tile < first + piece.tiles; ++tile) {
        keys.copy(key, piece.keys + tile * kKeyTile);
        values.copy(value, piece.values + tile * kValueTile);
      }
    }
  }
}

/// What a thread knows of its two rows.
struct RowState {
  float top[2] = {-INFINITY, -INFINITY};   // largest exponent so far
  float part[2] = {0, 0};                  // this thread's share of the weights since the totals
  float base[2] = {-INFINITY, -INFINITY};  // exponent that the totals are relative to
  float total[2] = {0, 0};                 // weights in the totals
};

/// A warpgroup.
struct Worker {
  const Args& args;
  const Keys& keys;
  const Values& values;
  float4* totals;  // [16][256 threads], this thread's first
  float* biases;   // [pieces][128 rows], the warpgroup's first
  int number;

  Ring key, value;

  /// Products are issued by one warpgroup after the other.
  __device__ __forceinline__ void take_turn() const {
    if constexpr (kTurns) asm volatile("bar.sync %0, 256;" ::"r"(1 + number) : "memory");
  }
  __device__ __forceinline__ void pass_turn() const {
    if constexpr (kTurns) asm volatile("bar.arrive %0, 256;" ::"r"(2 - number) : "memory");
  }

  /// Of the thread's first row.
  __device__ __forceinline__ static int row_of_thread() {
    return threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4;
  }

  /// Adds a stretch's sums to the totals, with the scales and the means of its piece's values.
  __device__ __forceinline__ void add_to_totals(RowState& rows, const float (&sums)[kHeadDim / 2],
                                                const Piece& piece, int head) const {
    float keep[2], part[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      keep[half] = exp2_of(rows.base[half] - rows.top[half]);
      part[half] = row_sum(rows.part[half]);
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

  __device__ __forceinline__ void prepare(const Queries& queries, int head) const {
#pragma unroll
    for (int i = 0; i < kHeadDim / 8; ++i) totals[i * 256] = make_float4(0, 0, 0, 0);
    for (int p = 0; p < args.pieces; ++p) {
      float bias[2];
      queries.bias(args.piece[p].key_mean + head * kHeadDim, bias);
      if (threadIdx.x % 4 == 0) {
        biases[p * kWorkers * kRows + row_of_thread()] = bias[0];
        biases[p * kWorkers * kRows + row_of_thread() + 8] = bias[1];
      }
    }
    __syncwarp();
  }

  /// Weights of the ring's tile of keys, whose products are there once `kUnderWay` later groups are.
  template <int kUnderWay>
  __device__ __forceinline__ void weigh_tile(int32_t (&s)[kTile / 2], const Queries& queries,
                                             const Place& place, float (&top)[2], float (&sum)[2],
                                             uint32_t (&weights)[kTile / 8]) {
    float key_scale;
    asm volatile("ld.shared.f32 %0, [%1];"
                 : "=f"(key_scale)
                 : "r"(keys.at(key.index) + kKeyNumbers)
                 : "memory");
    const float* const of_piece = biases + place.piece * kWorkers * kRows + row_of_thread();
    const float bias[2] = {of_piece[0], of_piece[8]};
    const float scale[2] = {queries.scale[0] * key_scale, queries.scale[1] * key_scale};
    const int valid = args.piece[place.piece].tokens - place.tile * kTile;
    products_wait<kUnderWay>();
    settle(s);
    keys.release(key);
    weigh(s, scale, bias, valid, top, sum, weights);
  }

  __device__ __forceinline__ void multiply_next_keys(int32_t (&s)[kTile / 2], const Queries& queries) {
    keys.full(key.index).wait(key.parity);
    products_fence();
    multiply_keys(s, queries, keys.at(key.index));
    products_commit();
  }
  __device__ __forceinline__ void multiply_next_values(float (&sums)[kHeadDim / 2],
                                                       const uint32_t (&weights)[kTile / 8], int add) {
    values.full(value.index).wait(value.parity);
    products_fence();
    multiply_values(sums, weights, values.at(value.index), add);
    products_commit();
  }
  __device__ __forceinline__ void finish_values(float (&sums)[kHeadDim / 2]) {
    products_wait<0>();
    settle(sums);
    values.release(value);
  }

  __device__ __forceinline__ void attend(int head, int first) {
    const int row = first + row_of_thread();
    const Queries queries(args.query, args.queries, args.heads, head, row);
    prepare(queries, head);
    RowState rows;
    float sums[kHeadDim / 2];
    uint32_t weights[kTile / 8];
    Place place;
    {
      int32_t s[kTile / 2];
      multiply_next_keys(s, queries);
      weigh_tile<0>(s, queries, place, rows.top, rows.part, weights);
    }
    int add = 0;
    for (int n = 1; n < args.tiles; ++n) {
      const Place before = place;
      place.advance(args);
      int32_t s[kTile / 2];
      take_turn();
      multiply_next_keys(s, queries);
      multiply_next_values(sums, weights, add);
      pass_turn();
      float top[2] = {rows.top[0], rows.top[1]}, part[2];
      uint32_t next[kTile / 8];
      weigh_tile<1>(s, queries, place, top, part, next);
      // Never; but so the compiler does all of the above before it waits.
      if (part[0] + part[1] < 0) __trap();
      finish_values(sums);
      add = 1;
      if (before.ends_stretch(args)) {
        add_to_totals(rows, sums, args.piece[before.piece], head);
        add = 0;
        rows.part[0] = part[0], rows.part[1] = part[1];
      } else {
        const float keep[2] = {exp2_of(rows.top[0] - top[0]), exp2_of(rows.top[1] - top[1])};
        rows.part[0] = rows.part[0] * keep[0] + part[0];
        rows.part[1] = rows.part[1] * keep[1] + part[1];
        if (__any_sync(~0u, keep[0] != 1 || keep[1] != 1)) {
#pragma unroll
          for (int i = 0; i < kHeadDim / 2; ++i) sums[i] *= keep[i / 2 % 2];
        }
      }
      rows.top[0] = top[0], rows.top[1] = top[1];
#pragma unroll
      for (int i = 0; i < kTile / 8; ++i) {
        asm volatile("mov.b32 %0, %1;" : "=r"(weights[i]) : "r"(next[i]));
      }
    }
    multiply_next_values(sums, weights, add);
    finish_values(sums);
    add_to_totals(rows, sums, args.piece[place.piece], head);
    write(rows, head, row);
  }

  __device__ void attend_all() {
    if (number == 1) pass_turn();
    for (int item = blockIdx.x; item < args.items; item += gridDim.x) {
      attend(item / args.groups, item % args.groups * kWorkers * kRows + number * kRows);
    }
  }
};

__global__ void __launch_bounds__(kThreads, 1) attention_kernel(const __grid_constant__ Args args) {
  extern __shared__ uint8_t shared[];
  __shared__ uint64_t bars[2 * (kKeyBuffers + kValueBuffers)];
  const uint32_t base = (shared_address(shared) + 127) & ~127u;
  const uint32_t keys_at = base + kTotals + kBiases, bars_at = shared_address(bars);
  const Keys keys{keys_at, bars_at};
  const Values values{keys_at + kKeyBuffers * kKeyTile, bars_at + 16 * kKeyBuffers};
  if (threadIdx.x == 0) {
    keys.init();
    values.init();
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  const int warpgroup = threadIdx.x / 128;
  if (warpgroup == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x == 0) copy_tiles(args, keys, values);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    uint8_t* const aligned = shared + (base - shared_address(shared));
    const int number = warpgroup - 1;
    Worker{args,
           keys,
           values,
           reinterpret_cast<float4*>(aligned) + (threadIdx.x - 128),
           reinterpret_cast<float*>(aligned + kTotals) + number * kRows,
           number,
           {0, 0},
           {0, 0}}
        .attend_all();
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
