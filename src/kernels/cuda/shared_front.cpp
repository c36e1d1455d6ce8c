#include <new>

#include "mapped_memory.h"
#include <ATen/ATen.h>
#include <ATen/ops/from_blob.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

namespace latentcast::cuda {
namespace {

/// LibTorch may hold memory that nobody uses.
std::shared_ptr<const MappablePiece> make_piece(int device, size_t bytes) {
  try {
    return std::make_shared<const MappablePiece>(device, bytes);
  } catch (const std::bad_alloc&) {
    c10::cuda::CUDACachingAllocator::emptyCache();
  }
  try {
    return std::make_shared<const MappablePiece>(device, bytes);
  } catch (const std::bad_alloc&) {
    C10_THROW_ERROR(OutOfMemoryError, "CUDA out of memory: no room for " + std::to_string(bytes) +
                                          " bytes of attention caches on GPU " + std::to_string(device));
  }
}

std::vector<at::Tensor> tensors_with_shared_front_cuda(const at::Tensor& row, int64_t count, int64_t front,
                                                       int64_t back) {
  const int device = row.device().index();
  const auto row_bytes = static_cast<int64_t>(row.nbytes());
  const auto front_piece = make_piece(device, static_cast<size_t>(front * row_bytes));
  std::vector<int64_t> shape = row.sizes().vec();
  shape.insert(shape.begin(), front + back);
  std::vector<at::Tensor> tensors;
  for (int64_t i = 0; i < count; ++i) {
    const auto back_piece = make_piece(device, static_cast<size_t>(back * row_bytes));
    auto mapping = std::make_shared<const Mapping>(device, std::vector{front_piece, back_piece});
    // The front ends where the back's piece begins.
    char* const begin = mapping->begin() + front_piece->bytes() - front * row_bytes;
    tensors.push_back(at::from_blob(
        begin, shape, [mapping](void*) mutable { mapping.reset(); }, row.options(), row.device()));
  }
  return tensors;
}

}  // namespace

TORCH_LIBRARY_IMPL(latentcast, CUDA, library) {
  library.impl("tensors_with_shared_front", &tensors_with_shared_front_cuda);
}

}  // namespace latentcast::cuda
