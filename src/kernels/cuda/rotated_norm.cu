#include "row.cuh"
#include "row_kernels.h"

namespace latentcast::cuda {
namespace {

constexpr int kRotated = 2;  // parts; the third is the values

template <typename T, int kVectors>
__global__ void __launch_bounds__(kThreads) rotated_norm_kernel(RotatedNorm args) {
  const int dim = static_cast<int>(args.dim), head_dim = static_cast<int>(args.head_dim);
  const int part = blockIdx.y;
  const int64_t row = blockIdx.x;
  Row<kVectors> values;
  values.load(static_cast<const T*>(args.x[part].data) + row * args.x[part].stride, dim);
  if (args.weight[part] != nullptr) {
    values.normalize_length(dim, args.eps);
    values.multiply(static_cast<const T*>(args.weight[part]), dim);
  }
  if (args.rope != nullptr && part < kRotated) values.rotate(args.rope + row * head_dim, head_dim, dim);
  values.store(static_cast<T*>(args.out[part]) + row * args.out_stride[part], dim);
}

}  // namespace

cudaError_t rotated_norm(const RotatedNorm& args, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(args.rows), static_cast<unsigned>(args.parts));
  for_type(args.bf16, [&]<typename T>(const T*) {
    for_row_length(args.dim, [&]<int kVectors>() {
      rotated_norm_kernel<T, kVectors><<<blocks, kThreads, 0, stream>>>(args);
    });
  });
  return cudaGetLastError();
}

}  // namespace latentcast::cuda
