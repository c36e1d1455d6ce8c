#include <algorithm>

#include "row.cuh"
#include "row_kernels.h"

namespace latentcast::cuda {
namespace {

constexpr int kLongRow = 5120;
constexpr int kLongThreads = 448;
constexpr int kLongBlocks = 2;  // of a multiprocessor

template <typename T, bool kGelu, int kVectors>
__global__ void __launch_bounds__(kThreads) quantize_kernel(Quantize args) {
  const int dim = static_cast<int>(args.dim);
  const int64_t row = blockIdx.x;
  Row<kVectors> values;
  values.load(static_cast<const T*>(args.x.data) + row * args.x.stride, dim);
  if constexpr (kGelu) values.gelu(dim);
  values.template store<T, true>(nullptr, args.fp8, row, dim);
}

/// Rows one after the other: the next one's loads are under way while this one is activated and written.
template <typename T, bool kGelu>
__global__ void __launch_bounds__(kLongThreads, kLongBlocks) quantize_long_kernel(Quantize args) {
  constexpr int kVectors = kMaxRow / kLongThreads / kWidth;
  const int dim = static_cast<int>(args.dim);
  const auto row_at = [&](int64_t row) { return static_cast<const T*>(args.x.data) + row * args.x.stride; };
  RawRow<T, kVectors, kLongThreads> next;
  next.load(row_at(blockIdx.x), dim);
  for (int64_t row = blockIdx.x; row < args.rows; row += gridDim.x) {
    Row<kVectors, kLongThreads> values;
    values.take(next);
    if (row + gridDim.x < args.rows) next.load(row_at(row + gridDim.x), dim);
    if constexpr (kGelu) values.gelu(dim);
    values.template store<T, true>(nullptr, args.fp8, row, dim);
    __syncthreads();  // the next row's largest goes where this one's was
  }
}

template <bool kGelu>
void launch(const Quantize& args, cudaStream_t stream) {
  for_type(args.bf16, [&]<typename T>(const T*) {
    const auto rows = static_cast<unsigned>(args.rows);
    if (args.dim > kLongRow) {
      const unsigned blocks = std::min(rows, static_cast<unsigned>(kLongBlocks * processors()));
      quantize_long_kernel<T, kGelu><<<blocks, kLongThreads, 0, stream>>>(args);
      return;
    }
    for_row_length(args.dim, [&]<int kVectors>() {
      quantize_kernel<T, kGelu, kVectors><<<rows, kThreads, 0, stream>>>(args);
    });
  });
}

}  // namespace

cudaError_t quantize(const Quantize& args, cudaStream_t stream) {
  if (args.gelu) {
    launch<true>(args, stream);
  } else {
    launch<false>(args, stream);
  }
  return cudaGetLastError();
}

}  // namespace latentcast::cuda
