#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "latentcast/kernels/quantize.h"

namespace latentcast {

/// (x − mean) / sqrt(variance + eps) · (1 + scale) + shift over the last dimension, in float32, rounded once.
///
/// x [rows, dim]; shift and scale [groups, dim] float32 with rows in one piece: the result's rows are divided
/// evenly among the groups, in order. Returns [copies · rows, dim] in x's type or in 8 bits: x's rows
/// `copies` times one after the other, each with its own group.
///
/// On a GPU: x bf16 or float32 with rows in one piece, dim a multiple of 8 up to 14336; anything else is
/// refused by an exception that names the operation.
Rows modulated_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double eps,
                    int64_t copies = 1, RowForm form = RowForm::kPlain);

}  // namespace latentcast
