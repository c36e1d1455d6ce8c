#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/kernels/packed_attention.h"

namespace latentcast::test {

struct AttentionInput {
  at::Tensor query;                      ///< [queries, heads, dim]
  std::vector<at::Tensor> keys, values;  ///< of each piece
};

/// Numbers that bf16 holds, float32, by the kind's name: "plain", "zeros", "equal keys", or one of
/// hard_attention_inputs(). The same at each call.
AttentionInput attention_input(const std::string& kind, int64_t queries, const std::vector<int64_t>& tokens,
                               int64_t heads, int64_t dim);

/// Kinds that 8 bits have a harder time with, and how far off the exact result may be (norm of the difference
/// over the norm).
const std::vector<std::pair<std::string, double>>& hard_attention_inputs();

PackedPieces packed(const AttentionInput& input);

/// Attention in float64, of query's shape.
at::Tensor exact(const AttentionInput& input);

/// Norm of the difference over the norm of b.
double relative(const at::Tensor& a, const at::Tensor& b);

}  // namespace latentcast::test
