#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace latentcast {

/// Strides are in elements. Sizes of 1 may have any stride.
bool is_row_major(std::span<const int64_t> shape, std::span<const int64_t> strides);

/// Number of elements from the first to one past the farthest; nothing on negative strides or overflow. No
/// size is 0.
std::optional<uint64_t> strided_extent(std::span<const int64_t> shape, std::span<const int64_t> strides);

/// Writes the elements in row-major order. `from` has the strided extent at least, `to` all elements. No size
/// is 0.
void copy_strided(std::span<const std::byte> from, std::span<const int64_t> shape,
                  std::span<const int64_t> strides, size_t element_size, std::span<std::byte> to);

}  // namespace latentcast
