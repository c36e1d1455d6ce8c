#include "latentcast/kernels/shared_front.h"

#include "operation.h"
#include <ATen/ATen.h>
#include <torch/library.h>

namespace latentcast {
namespace {

std::vector<at::Tensor> separate_tensors(const at::Tensor& row, int64_t count, int64_t front, int64_t back) {
  std::vector<int64_t> shape = row.sizes().vec();
  shape.insert(shape.begin(), front + back);
  std::vector<at::Tensor> tensors;
  for (int64_t i = 0; i < count; ++i) tensors.push_back(at::empty(shape, row.options()));
  return tensors;
}

}  // namespace

std::vector<at::Tensor> tensors_with_shared_front(const at::Tensor& row, int64_t count, int64_t front,
                                                  int64_t back) {
  static const auto run = operation<std::vector<at::Tensor>(const at::Tensor&, int64_t, int64_t, int64_t)>(
      "latentcast::tensors_with_shared_front");
  return run.call(row, count, front, back);
}

TORCH_LIBRARY_FRAGMENT(latentcast, library) {
  library.def("tensors_with_shared_front(Tensor row, int count, int front, int back) -> Tensor[]");
}

TORCH_LIBRARY_IMPL(latentcast, CPU, library) { library.impl("tensors_with_shared_front", &separate_tensors); }

}  // namespace latentcast
