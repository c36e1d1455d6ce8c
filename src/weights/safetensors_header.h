#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "latentcast/weights/tensor_view.h"

namespace latentcast {

/// What a safetensors header says of one tensor. Only the types of the fields and the rank have been checked.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// Reads the JSON of a header. Memory and depth are bounded by the text's own length. Throws InputError with
/// `file`.
std::vector<SafetensorsEntry> read_safetensors_header(std::string_view json, const std::string& file);

}  // namespace latentcast
