#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "latentcast/weights/tensor_view.h"

namespace latentcast {

/// More than any tensor of a network has; bounds what a shape in a file can make us keep.
inline constexpr size_t kMaxRank = 16;

std::optional<uint64_t> checked_product(uint64_t a, uint64_t b);

/// Number of elements; nothing if a size is negative or if the product of the sizes other than 0 exceeds 2^63
/// - 1 (zeros are left out so that strides can't overflow either).
std::optional<uint64_t> element_count(std::span<const int64_t> shape);

std::optional<uint64_t> byte_size(DType dtype, std::span<const int64_t> shape);

std::optional<DType> dtype_from_name(std::string_view name);

/// "[2, 3]"
std::string shape_text(std::span<const int64_t> shape);

/// A name out of a file, fit for a message: quoted, shortened, everything but printable ASCII replaced (a
/// report's JSON would choke on broken UTF-8).
std::string quote_name(std::string_view name);

}  // namespace latentcast
