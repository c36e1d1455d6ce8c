#include "dequantize.h"
#include "row.cuh"

namespace latentcast::cuda {
namespace {

constexpr int kBytes = 16;  // that a thread reads at once
constexpr unsigned kMostBlocks = 2048;

template <typename T>
__global__ void __launch_bounds__(kThreads) dequantize_kernel(Dequantize args) {
  const int64_t pieces = args.rows * args.dim / kBytes, step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < pieces; i += step) {
    const uint4 raw = static_cast<const uint4*>(args.values)[i];
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
    const float scale = args.scales[i * kBytes / args.dim];
    T* const to = static_cast<T*>(args.out) + i * kBytes;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float numbers[kWidth];
#pragma unroll
      for (int pair = 0; pair < kWidth / 2; ++pair) {
        const auto two = static_cast<__nv_fp8x2_storage_t>(words[2 * half + pair / 2] >> (pair % 2 * 16));
        const float2 wide = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(two, __NV_E4M3)));
        numbers[2 * pair] = wide.x * scale;
        numbers[2 * pair + 1] = wide.y * scale;
      }
      store8(to + half * kWidth, numbers);
    }
  }
}

}  // namespace

cudaError_t dequantize(const Dequantize& args, cudaStream_t stream) {
  const int64_t blocks = (args.rows * args.dim / kBytes + kThreads - 1) / kThreads;
  if (blocks == 0) return cudaSuccess;
  const auto grid = static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
  for_type(args.bf16,
           [&]<typename T>(const T*) { dequantize_kernel<T><<<grid, kThreads, 0, stream>>>(args); });
  return cudaGetLastError();
}

}  // namespace latentcast::cuda
