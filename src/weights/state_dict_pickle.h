#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "latentcast/weights/tensor_view.h"

namespace latentcast {

/// A tensor as a state dict's pickle describes it. Nothing but the kinds of the fields has been checked.
struct PickledTensor {
  std::string_view name;
  DType dtype = DType::kF32;
  std::string_view storage_key;
  int64_t storage_numel = 0;
  int64_t offset = 0;  ///< in elements
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  ///< in elements, as many as sizes
};

/// Reads the pickle of a state dict, or of {'state_dict': one}. Names and keys point into `pickle`. Executes
/// nothing: an operation or global that a state dict doesn't need is an InputError naming `file`. Memory is
/// bounded by a small multiple of the pickle's size.
std::vector<PickledTensor> read_state_dict_pickle(std::span<const std::byte> pickle, const std::string& file);

}  // namespace latentcast
