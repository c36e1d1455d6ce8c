#pragma once

#include <ATen/core/Tensor.h>

namespace latentcast {

// What attention does to queries and keys before they meet. Numbers are float32 inside and rounded once. On a
// GPU: bf16 or float32, rows in one piece, dim a multiple of 8 up to 14336, head_dim even;
// anything else is refused by an exception that names the operation.

/// x / sqrt(mean(x²) + eps) · weight over the last dimension; x [..., dim], weight [dim] of x's type.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

/// rms_norm() of queries and of keys, both then rotated. query and key [rows, dim], perhaps halves of one
/// product; rope [rows, 1, head_dim / 2] complex64 (see model/dit/rope.h); written to query_out and key_out
/// [rows, heads, head_dim], whose rows lie in one piece each.
void rotate_query_key(const at::Tensor& query, const at::Tensor& key, const at::Tensor& query_weight,
                      const at::Tensor& key_weight, const at::Tensor& rope, double eps,
                      const at::Tensor& query_out, const at::Tensor& key_out);

/// The same from one product [rows, 3 · dim] of queries, keys and values; the values are copied to value_out.
void split_query_key_value(const at::Tensor& product, const at::Tensor& query_weight,
                           const at::Tensor& key_weight, const at::Tensor& rope, double eps,
                           const at::Tensor& query_out, const at::Tensor& key_out,
                           const at::Tensor& value_out);

/// x [rows, heads, head_dim] rotated, to `out` of that shape.
void rotate_rows(const at::Tensor& x, const at::Tensor& rope, const at::Tensor& out);

}  // namespace latentcast
