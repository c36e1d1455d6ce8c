#pragma once

#include <ATen/core/Tensor.h>

#include "latentcast/kernels/quantize.h"

namespace latentcast {

// A transformer layer adds three things to its tokens x: the self-attention y times a gate, the
// cross-attention c, and the feed-forward part f times a gate. Sums in between are not kept but computed
// again where they are needed, which moves fewer bytes. All [rows, dim] of one type, rows in one piece;
// gates, shifts and scales [dim] float32. Numbers are float32 inside and rounded once. On a GPU: bf16 or
// float32, dim a multiple of 8 up to 14336; anything else is refused by an exception that names the
// operation.

/// layer_norm(x + y · gate) · weight + bias; weight and bias [dim] of x's type.
Rows gated_residual_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                         const at::Tensor& weight, const at::Tensor& bias, double eps,
                         RowForm form = RowForm::kPlain);

/// layer_norm(x + y · gate + c) · (1 + scale) + shift
Rows residual_modulated_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                             const at::Tensor& c, const at::Tensor& shift, const at::Tensor& scale,
                             double eps, RowForm form = RowForm::kPlain);

/// x + y · gate + c + f · last_gate
at::Tensor gated_residuals(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                           const at::Tensor& c, const at::Tensor& f, const at::Tensor& last_gate);

/// A sum, rounded, and what modulated_norm() makes of it.
struct SumAndNorm {
  at::Tensor sum;
  Rows normed;
};

/// gated_residuals(), then modulated_norm() with these shifts and scales [groups, dim]: the same numbers as
/// by the two, in one go.
SumAndNorm gated_residuals_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                                const at::Tensor& c, const at::Tensor& f, const at::Tensor& last_gate,
                                const at::Tensor& shift, const at::Tensor& scale, double eps,
                                RowForm form = RowForm::kPlain);

/// x + c, then modulated_norm().
SumAndNorm residual_norm(const at::Tensor& x, const at::Tensor& c, const at::Tensor& shift,
                         const at::Tensor& scale, double eps, RowForm form = RowForm::kPlain);

}  // namespace latentcast
