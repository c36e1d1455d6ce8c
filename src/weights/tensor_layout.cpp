#include "weights/tensor_layout.h"

#include <array>
#include <limits>
#include <utility>

namespace latentcast {
namespace {

constexpr std::array<std::pair<DType, std::string_view>, 11> kNames = {{{DType::kF64, "F64"},
                                                                        {DType::kF32, "F32"},
                                                                        {DType::kF16, "F16"},
                                                                        {DType::kBF16, "BF16"},
                                                                        {DType::kF8E4M3, "F8_E4M3"},
                                                                        {DType::kI64, "I64"},
                                                                        {DType::kI32, "I32"},
                                                                        {DType::kI16, "I16"},
                                                                        {DType::kI8, "I8"},
                                                                        {DType::kU8, "U8"},
                                                                        {DType::kBool, "BOOL"}}};

}  // namespace

std::optional<uint64_t> checked_product(uint64_t a, uint64_t b) {
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (b != 0 && a > kMost / b) return std::nullopt;
  return a * b;
}

std::optional<uint64_t> element_count(std::span<const int64_t> shape) {
  uint64_t product = 1;
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    empty |= size == 0;
    const auto next = checked_product(product, size == 0 ? 1 : static_cast<uint64_t>(size));
    if (!next) return std::nullopt;
    product = *next;
  }
  return empty ? 0 : product;
}

std::optional<uint64_t> byte_size(DType dtype, std::span<const int64_t> shape) {
  const auto count = element_count(shape);
  return count ? checked_product(*count, dtype_size(dtype)) : std::nullopt;
}

std::string_view dtype_name(DType dtype) {
  for (const auto& [value, name] : kNames) {
    if (value == dtype) return name;
  }
  return "?";
}

std::optional<DType> dtype_from_name(std::string_view text) {
  for (const auto& [value, name] : kNames) {
    if (name == text) return value;
  }
  return std::nullopt;
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

std::string quote_name(std::string_view name) {
  constexpr size_t kMost = 120;
  std::string text = "'";
  for (const char c : name.substr(0, kMost)) {
    const auto code = static_cast<unsigned char>(c);
    text += code < 0x20 || code >= 0x7f ? '?' : c;
  }
  return text + (name.size() > kMost ? "...'" : "'");
}

}  // namespace latentcast
