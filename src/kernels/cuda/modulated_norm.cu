#include "row.cuh"
#include "row_kernels.h"

namespace latentcast::cuda {
namespace {

template <typename T, int kVectors, int kBlock, bool kFp8>
__global__ void __launch_bounds__(kBlock) modulated_norm_kernel(ModulatedNorm args) {
  const int dim = static_cast<int>(args.dim);
  const int64_t row = blockIdx.x, group = row / (args.out_rows / args.groups);
  Row<kVectors, kBlock> values;
  values.load(static_cast<const T*>(args.x.data) + row % args.rows * args.x.stride, dim);
  values.normalize(dim, args.eps);
  values.modulate(args.shift + group * args.modulation_stride, args.scale + group * args.modulation_stride,
                  dim);
  values.template store<T, kFp8>(args.out, args.fp8, row, dim);
}

}  // namespace

cudaError_t modulated_norm(const ModulatedNorm& args, cudaStream_t stream) {
  for_type(args.bf16, [&]<typename T>(const T*) {
    for_norm_length(args.dim, [&]<int kVectors, int kBlock>() {
      for_output(args.fp8, [&]<bool kFp8>() {
        modulated_norm_kernel<T, kVectors, kBlock, kFp8>
            <<<static_cast<unsigned>(args.out_rows), kBlock, 0, stream>>>(args);
      });
    });
  });
  return cudaGetLastError();
}

}  // namespace latentcast::cuda
