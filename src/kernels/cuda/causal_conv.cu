#include <algorithm>

#include "causal_conv.h"
#include "conv_work.cuh"

namespace latentcast::cuda {
namespace {

template <class S>
__global__ void __launch_bounds__(kConvThreads, 1)
    conv_kernel(const __grid_constant__ CUtensorMap past, const __grid_constant__ CUtensorMap x, Args args) {
  extern __shared__ uint8_t buffers[];
  __shared__ uint64_t bars[2 * (S::kInputs + S::kWeights)];
  __shared__ float bias[kMostColumns], gain[S::kColumns];
  const uint32_t base = (shared_address(buffers) + 127) & ~127u;
  const Barriers input_bars{shared_address(bars), S::kInputs};
  const Barriers weight_bars{input_bars.address + 16 * S::kInputs, S::kWeights};
  for (int i = threadIdx.x; i < args.out; i += kConvThreads) bias[i] = args.bias[i];
  for (int i = threadIdx.x; i < S::kColumns && args.gain != nullptr; i += kConvThreads)
    gain[i] = args.gain[i];
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::kInputs; ++i) input_bars.full(i).init(1), input_bars.empty(i).init(2);
    for (int i = 0; i < S::kWeights; ++i) weight_bars.full(i).init(1), weight_bars.empty(i).init(2);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  const int64_t across = (args.width + S::kTileWidth - 1) / S::kTileWidth;
  const int64_t down = (args.height + S::kTileHeight - 1) / S::kTileHeight;
  const int64_t tiles =
      across * down * S::kPhases * ((args.out + S::kColumns - 1) / S::kColumns) * args.frames;
  const Work<S> work{base,
                     base + S::kInputs * S::kInputBytes,
                     input_bars,
                     weight_bars,
                     static_cast<int>(tiles * blockIdx.x / gridDim.x),
                     static_cast<int>(tiles * (blockIdx.x + 1) / gridDim.x),
                     args};
  const int warpgroup = threadIdx.x / 128;
  if (warpgroup == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x == 0) work.copy(past, x);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    work.multiply_all(warpgroup - 1, bias, gain);
  }
}

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                            const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                            CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/// The driver's function, found once.
Encode encoder() {
  static const Encode found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                               cudaEnableDefault, &result);
    return error == cudaSuccess && result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(function)
                                                                         : nullptr;
  }();
  return found;
}

template <class S>
bool describe(CUtensorMap& map, const CausalConv& conv, const void* data, int64_t frames) {
  const auto size = [](int64_t n) { return static_cast<cuuint64_t>(n); };
  const cuuint64_t sizes[4] = {size(conv.in), size(conv.width), size(conv.height), size(frames)};
  const cuuint64_t strides[3] = {size(2 * conv.in), size(2 * conv.in * conv.width),
                                 size(2 * conv.in * conv.width * conv.height)};
  const cuuint32_t box[4] = {8, S::kRimWidth, S::kRimHeight, 1}, steps[4] = {1, 1, 1, 1};
  return encoder() != nullptr &&
         encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<void*>(data), sizes, strides, box,
                   steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
                   CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

template <class S>
cudaError_t launch(const CausalConv& conv, cudaStream_t stream) {
  CUtensorMap past, x;
  if (!describe<S>(x, conv, conv.x, conv.frames) ||
      !describe<S>(past, conv, conv.past != nullptr ? conv.past : conv.x, conv.past != nullptr ? 2 : 1)) {
    return cudaErrorInvalidValue;
  }
  int device = 0, processors = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  const int64_t across = (conv.width + S::kTileWidth - 1) / S::kTileWidth;
  const int64_t down = (conv.height + S::kTileHeight - 1) / S::kTileHeight;
  const int64_t parts = (conv.out + S::kColumns - 1) / S::kColumns;
  const int64_t grid = std::min<int64_t>(processors, across * down * S::kPhases * parts * conv.frames);
  const cudaError_t error =
      cudaFuncSetAttribute(conv_kernel<S>, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kShared);
  if (error != cudaSuccess) return error;
  const auto number = [](int64_t n) { return static_cast<int>(n); };
  const Args args{number(conv.in),
                  number(conv.out),
                  number(conv.frames),
                  number(conv.height),
                  number(conv.width),
                  static_cast<const __nv_bfloat16*>(conv.weight),
                  conv.bias,
                  conv.gain,
                  static_cast<const __nv_bfloat16*>(conv.residual),
                  static_cast<__nv_bfloat16*>(conv.sum),
                  static_cast<__nv_bfloat16*>(conv.active)};
  conv_kernel<S><<<static_cast<unsigned>(grid), kConvThreads, S::kShared, stream>>>(past, x, args);
  return cudaGetLastError();
}

template <ConvKind kKind>
using Narrow = Shape<kKind, 96, 4, 32, 16, 3, 4>;
template <ConvKind kKind>
using Wide = Shape<kKind, 192, 2, 16, 16, 3, 3>;
using Head = Shape<ConvKind::kSpaceTime, 8, 4, 32, 16, 3, 4>;

template <ConvKind kKind>
cudaError_t launch_kind(const CausalConv& conv, cudaStream_t stream) {
  return conv.out == 96 ? launch<Narrow<kKind>>(conv, stream) : launch<Wide<kKind>>(conv, stream);
}

}  // namespace

int64_t conv_columns(ConvKind kind, int64_t in, int64_t out) {
  if (in % kChunk != 0) return 0;
  if (kind == ConvKind::kSpaceTime && out <= 8) return 8;
  if (kind == ConvKind::kTimeDoubling) return out % 384 == 0 && out <= kMostColumns ? 192 : 0;
  if (out == 96 && kind != ConvKind::kPoint) return 96;
  return out % 192 == 0 && out <= kMostColumns ? 192 : 0;
}

cudaError_t causal_conv(const CausalConv& conv, cudaStream_t stream) {
  switch (conv.kind) {
    case ConvKind::kTimeDoubling:
      return launch<Wide<ConvKind::kTimeDoubling>>(conv, stream);
    case ConvKind::kPictureDoubling:
      return launch_kind<ConvKind::kPictureDoubling>(conv, stream);
    case ConvKind::kPoint:
      return launch<Wide<ConvKind::kPoint>>(conv, stream);
    case ConvKind::kSpaceTime:
      break;
  }
  return conv.out <= 8 ? launch<Head>(conv, stream) : launch_kind<ConvKind::kSpaceTime>(conv, stream);
}

}  // namespace latentcast::cuda
