#pragma once

#include <utility>

#include <ATen/core/Tensor.h>

namespace latentcast {

/// Rows of numbers [rows, dim]: of a floating type, or in 8 bits (e4m3) with a scale [rows, 1] float32 each,
/// which a row's numbers are to be multiplied with.
struct Rows {
  at::Tensor values, scale;

  Rows() = default;
  Rows(at::Tensor plain) : values(std::move(plain)) {}
  Rows(at::Tensor fp8, at::Tensor scales) : values(std::move(fp8)), scale(std::move(scales)) {}
  bool is_fp8() const { return scale.defined(); }
};

/// In what form an operation gives its rows.
enum class RowForm { kPlain, kFp8 };

/// x in 8 bits: the largest of a row becomes 448, the largest number there is; rounded to the nearest. A row
/// of zeros stays zeros, a NaN stays one. x [rows, dim]; on a GPU bf16 or float32, dim a multiple of 8 up to
/// 14336.
Rows quantize(const at::Tensor& x);

/// gelu(x), in its tanh form, in 8 bits.
Rows gelu_quantize(const at::Tensor& x);

/// x · weightᵀ + bias of rows in 8 bits: x [rows, in], weight [out, in], bias [out], whose type the result
/// has; sums in float32. On a GPU the tensor cores' own product (bf16 only, in and out multiples of 16), on a
/// CPU the same numbers in float32. The second form writes to out [rows, out], in one piece.
at::Tensor fp8_linear(const Rows& x, const Rows& weight, const at::Tensor& bias);
void fp8_linear_into(const Rows& x, const Rows& weight, const at::Tensor& bias, const at::Tensor& out);

}  // namespace latentcast
