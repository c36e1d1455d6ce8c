#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/kernels/packed_layout.h"

namespace latentcast {

// Attention in 8 bits. Keys and values are packed once, in pieces of any number of tokens, and read by any
// number of passes. Keys less their mean over the piece are int8 with a scale for each head and tile of 160
// tokens, values less their mean e4m3 with a scale for each head and dim; queries are int8 with a scale each,
// weights e4m3. The means come in again in float32: a query's product with the keys' is added to its
// exponents, the values' times the sum of the weights to its result. A NaN passes through.
//
// On a GPU: Hopper's only, bf16, heads 128 wide (see packed_attention_refusal()); on a CPU any.

/// Bytes of packed keys and values of so many tokens; see packed_layout.h.
int64_t packed_bytes(int64_t tokens, int64_t heads, int64_t head_dim);

/// key and value [tokens, heads, head_dim] to packed [packed_bytes()] uint8. Either may be undefined: then
/// what it is of `packed` stays as it is. A token's heads lie in one piece.
void pack_keys_and_values(const at::Tensor& key, const at::Tensor& value, const at::Tensor& packed);

/// What a pass attends to.
struct PackedPieces {
  std::vector<at::Tensor> packed;
  std::vector<int64_t> tokens;  ///< of each
};

/// softmax(query · keysᵀ / sqrt(head_dim)) · values of one sequence; query [queries, heads, head_dim], at
/// most kMostPackedPieces pieces, none empty -> [queries, heads * head_dim] of query's type.
at::Tensor packed_attention(const at::Tensor& query, const PackedPieces& pieces);

/// Why tensors like this one ([..., head_dim], any device) can't be attended to in this way, to be put behind
/// "attention in 8 bits: "; empty if they can.
std::string packed_attention_refusal(const at::Tensor& like);

}  // namespace latentcast
