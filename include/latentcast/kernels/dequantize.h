#pragma once

#include "latentcast/kernels/quantize.h"

namespace latentcast {

/// The numbers that rows in 8 bits stand for, to `out` [rows, dim], bf16 or float32, in one piece. On a GPU
/// dim is a multiple of 16.
void dequantize(const Rows& rows, const at::Tensor& out);

}  // namespace latentcast
