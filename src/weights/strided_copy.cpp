#include "weights/strided_copy.h"

#include <cstring>
#include <limits>
#include <vector>

#include "weights/tensor_layout.h"

namespace latentcast {

bool is_row_major(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

std::optional<uint64_t> strided_extent(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  uint64_t extent = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    if (strides[i] < 0) return std::nullopt;
    const auto reach =
        checked_product(static_cast<uint64_t>(shape[i] - 1), static_cast<uint64_t>(strides[i]));
    if (!reach || *reach > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) - extent)
      return std::nullopt;
    extent += *reach;
  }
  return extent;
}

void copy_strided(std::span<const std::byte> from, std::span<const int64_t> shape,
                  std::span<const int64_t> strides, size_t element_size, std::span<std::byte> to) {
  std::vector<int64_t> index(shape.size(), 0);
  uint64_t at = 0;
  for (size_t written = 0; written < to.size(); written += element_size) {
    std::memcpy(to.data() + written, from.data() + at * element_size, element_size);
    for (size_t i = shape.size(); i-- > 0;) {
      if (shape[i] == 1) continue;
      at += static_cast<uint64_t>(strides[i]);
      if (++index[i] < shape[i]) break;
      at -= static_cast<uint64_t>(strides[i]) * static_cast<uint64_t>(shape[i]);
      index[i] = 0;
    }
  }
}

}  // namespace latentcast
