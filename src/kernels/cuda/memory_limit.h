#pragma once

#include <cstddef>
#include <cstdint>

namespace latentcast::cuda {

/// Bytes that mapped pieces take now, and most of them since the last reset.
int64_t mapped_bytes();
int64_t peak_mapped_bytes();
void reset_peak_mapped_bytes();

/// Counts a piece that comes (or, with negative bytes, one that goes): LibTorch's allocator gets what is left
/// of the limit.
void count_mapped(int64_t bytes);

/// Whether a piece more stays within the limit.
bool fits_limit(int device, size_t bytes);

/// What LibTorch's allocator and mapped pieces may take together on the GPU; negative: all of it.
void limit_memory(int device, int64_t bytes);

}  // namespace latentcast::cuda
