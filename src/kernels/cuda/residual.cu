#include "row.cuh"
#include "row_kernels.h"

namespace latentcast::cuda {
namespace {

template <typename T>
__device__ const T* row_of(const Rows& rows, int64_t row) {
  return static_cast<const T*>(rows.data) + row * rows.stride;
}

template <typename T, int kVectors, int kBlock, bool kFp8, Residual::Kind kKind>
__global__ void __launch_bounds__(kBlock) residual_kernel(Residual args) {
  const int dim = static_cast<int>(args.dim);
  const int64_t row = blockIdx.x;
  Row<kVectors, kBlock> values;
  values.load(row_of<T>(args.x, row), dim);
  const bool all = kKind != Residual::kSumNorm || args.y.data != nullptr;
  if (all) values.add_gated(row_of<T>(args.y, row), args.gate, dim);
  if constexpr (kKind != Residual::kAffineNorm) values.add(row_of<T>(args.c, row), dim);
  if constexpr (kKind == Residual::kSum || kKind == Residual::kSumNorm) {
    if (all) values.add_gated(row_of<T>(args.f, row), args.last_gate, dim);
  }
  if constexpr (kKind == Residual::kSumNorm) {
    values.template round<T>();
    values.store(static_cast<T*>(args.sum) + row * dim, dim);
  }
  if constexpr (kKind != Residual::kSum) values.normalize(dim, args.eps);
  if constexpr (kKind == Residual::kAffineNorm) {
    values.scale_and_shift(static_cast<const T*>(args.weight), static_cast<const T*>(args.bias), dim);
  }
  if constexpr (kKind == Residual::kModulatedNorm) values.modulate(args.shift, args.scale, dim);
  if constexpr (kKind == Residual::kSumNorm) {
    const int64_t from = row / (args.rows / args.groups) * args.modulation_stride;
    values.modulate(args.shift + from, args.scale + from, dim);
  }
  values.template store<T, kFp8>(args.out, args.fp8, row, dim);
}

template <Residual::Kind kKind>
void launch(const Residual& args, cudaStream_t stream) {
  for_type(args.bf16, [&]<typename T>(const T*) {
    for_norm_length(args.dim, [&]<int kVectors, int kBlock>() {
      for_output(args.fp8, [&]<bool kFp8>() {
        residual_kernel<T, kVectors, kBlock, kFp8, kKind>
            <<<static_cast<unsigned>(args.rows), kBlock, 0, stream>>>(args);
      });
    });
  });
}

}  // namespace

cudaError_t residual(const Residual& args, cudaStream_t stream) {
  switch (args.kind) {
    case Residual::kAffineNorm:
      launch<Residual::kAffineNorm>(args, stream);
      break;
    case Residual::kModulatedNorm:
      launch<Residual::kModulatedNorm>(args, stream);
      break;
    case Residual::kSum:
      launch<Residual::kSum>(args, stream);
      break;
    case Residual::kSumNorm:
      launch<Residual::kSumNorm>(args, stream);
      break;
  }
  return cudaGetLastError();
}

}  // namespace latentcast::cuda
