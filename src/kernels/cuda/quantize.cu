#include "row.cuh"
#include "row_kernels.h"

namespace latentcast::cuda {
namespace {

template <typename T, int kVectors>
__global__ void __launch_bounds__(kThreads) quantize_kernel(Quantize args) {
  const int dim = static_cast<int>(args.dim);
  const int64_t row = blockIdx.x;
  Row<kVectors> values;
  values.load(static_cast<const T*>(args.x.data) + row * args.x.stride, dim);
  if (args.gelu) values.gelu(dim);
  values.template store<T, true>(nullptr, args.fp8, row, dim);
}

}  // namespace

cudaError_t quantize(const Quantize& args, cudaStream_t stream) {
  for_type(args.bf16, [&]<typename T>(const T*) {
    for_row_length(args.dim, [&]<int kVectors>() {
      quantize_kernel<T, kVectors><<<static_cast<unsigned>(args.rows), kThreads, 0, stream>>>(args);
    });
  });
  return cudaGetLastError();
}

}  // namespace latentcast::cuda
