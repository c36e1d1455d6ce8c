#pragma once

#include <tuple>

#include <ATen/core/Tensor.h>

#include "latentcast/kernels/quantize.h"

namespace latentcast {

inline constexpr double kFp8Largest = 448;  ///< of e4m3

/// Values and scales of float32 rows [rows, dim] in 8 bits; see quantize.h.
std::tuple<at::Tensor, at::Tensor> quantize_in_float(const at::Tensor& x);

/// What an operation's CPU twin gives for its float32 result.
inline std::tuple<at::Tensor, at::Tensor> given_as(const at::Tensor& wide, at::ScalarType type, bool fp8) {
  return fp8 ? quantize_in_float(wide) : std::tuple(wide.to(type), at::Tensor());
}

}  // namespace latentcast
