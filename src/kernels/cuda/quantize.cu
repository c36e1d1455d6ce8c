#include "row.cuh"
#include "row_kernels.h"

namespace latentcast::cuda {
namespace {

constexpr int kLongRow = 5120;
constexpr int kLongThreads = 448;

template <typename T, int kVectors, int kBlock>
__global__ void __launch_bounds__(kBlock) quantize_kernel(Quantize args) {
  const int dim = static_cast<int>(args.dim);
  const int64_t row = blockIdx.x;
  Row<kVectors, kBlock> values;
  values.load(static_cast<const T*>(args.x.data) + row * args.x.stride, dim);
  if (args.gelu) values.gelu(dim);
  values.template store<T, true>(nullptr, args.fp8, row, dim);
}

}  // namespace

cudaError_t quantize(const Quantize& args, cudaStream_t stream) {
  for_type(args.bf16, [&]<typename T>(const T*) {
    const auto rows = static_cast<unsigned>(args.rows);
    if (args.dim > kLongRow) {  // few registers a thread, many threads: the GELU hides behind the loads
      quantize_kernel<T, 4, kLongThreads><<<rows, kLongThreads, 0, stream>>>(args);
      return;
    }
    for_row_length(args.dim, [&]<int kVectors>() {
      quantize_kernel<T, kVectors, kThreads><<<rows, kThreads, 0, stream>>>(args);
    });
  });
  return cudaGetLastError();
}

}  // namespace latentcast::cuda
