#pragma once

#include <memory>
#include <string>

#include "weights/upload.h"
#include <ATen/core/Tensor.h>

#include "latentcast/weights/tensor_view.h"

namespace latentcast {

/// F32, F16 or BF16 as LibTorch calls it. Throws InputError naming tensor, file and type for the others.
at::ScalarType weight_type(const TensorView& view, const std::string& name);

/// The tensor on `device` in `dtype`. On a CPU it is the archive's memory itself where type and alignment
/// allow, and then keeps `owner` alive; else it is a copy, and the file's pages are released. To a GPU the
/// bytes go in the file's type, through `upload`, which is its own; it isn't used otherwise. On the meta
/// device nothing is read.
at::Tensor load_tensor(const TensorView& view, const std::string& name, at::ScalarType dtype,
                       at::Device device, const std::shared_ptr<const TensorArchive>& owner, Upload& upload);

/// Copies elements [first, first + to.numel()) of the tensor, counted row by row, to `to` (1-D, contiguous,
/// of any device), rounded to its type as load_tensor() rounds. Reads no others and releases the file's pages
/// piece by piece. `upload` as in load_tensor().
void copy_elements(const TensorView& view, const std::string& name, int64_t first, const at::Tensor& to,
                   const TensorArchive& owner, Upload& upload);

}  // namespace latentcast
