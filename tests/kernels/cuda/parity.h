#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace latentcast::test {

/// The GPU that kernels are checked on; selected at the first call.
at::Device gpu();

/// Inputs [rows, dim], float32, on the CPU, by name: plain, zeros, one huge number, huge everywhere,
/// denormal, equal numbers, an infinity, a NaN.
std::vector<std::pair<std::string, at::Tensor>> row_inputs(int64_t rows, int64_t dim);

/// Rounded to bf16 and back to float32: what a kernel and its twin are both given.
at::Tensor as_bf16(const at::Tensor& x);

/// Expects `ours` (any type, on the GPU) to be no further from `twin` (float32, CPU) than one unit of its
/// type, bf16 or float32, where float32 sums in another order may differ by `slack` of the row's largest
/// number; NaN where the twin has NaN, and nowhere else.
void expect_close(const at::Tensor& ours, const at::Tensor& twin, const std::string& what,
                  double slack = 2e-6);

}  // namespace latentcast::test
