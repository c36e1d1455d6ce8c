// Attention over packed keys and values, for Hopper GPUs: one warp copies, two warpgroups compute, each for
// 64 queries of one head; see packed_worker.cuh.
#include <algorithm>

#include "packed_worker.cuh"

namespace latentcast::cuda {
namespace {

constexpr int kThreads = 128 + kWorkers * 128;

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
    uint32_t speaks = threadIdx.x % 32 == 0;
    asm volatile("" : "+r"(biases), "+r"(speaks));  // kept too
    float4* const totals = reinterpret_cast<float4*>(aligned) + (threadIdx.x - 128);
    Worker{args, rings, totals, biases, speaks, number}.attend_all();
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
                     static_cast<int>(PackedLayout::tiles(tokens))};
    args.tiles += args.piece[i].tiles;
  }
  return launch(args, stream);
}

}  // namespace latentcast::cuda
