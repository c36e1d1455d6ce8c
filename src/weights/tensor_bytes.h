#pragma once

#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "latentcast/weights/tensor_view.h"

namespace latentcast {

/// F32, F16 or BF16 as LibTorch calls it. Throws InputError naming tensor, file and type for the others.
at::ScalarType weight_type(const TensorView& view, const std::string& name);

/// The tensor on `device` in `dtype`. On a CPU it is the archive's memory itself where type and alignment
/// allow, and then keeps `owner` alive.
at::Tensor load_tensor(const TensorView& view, const std::string& name, at::ScalarType dtype,
                       at::Device device, const std::shared_ptr<const TensorArchive>& owner);

}  // namespace latentcast
