#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace latentcast {

/// `count` tensors [front + back, ...row.shape] of row's type and device. On a GPU their first `front` rows
/// are one piece of memory, mapped in front of each tensor's own `back` rows, so what is written there to one
/// is in all of them; on a CPU each has its own, so a front must be written to each. Not initialised. On a
/// GPU the memory is CUDA's own, not LibTorch's allocator's; the first row behind the front is aligned to at
/// least 2 MiB. Throws c10::OutOfMemoryError.
std::vector<at::Tensor> tensors_with_shared_front(const at::Tensor& row, int64_t count, int64_t front,
                                                  int64_t back);

}  // namespace latentcast
