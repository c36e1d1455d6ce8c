// What packed_attention.cu and pack_keys.cu offer to packed_attention_binding.cpp: plain pointers, no ATen.
// Heads are 128 wide, numbers bf16, pointers aligned to 16 bytes; see packed_attention.h of
// include/latentcast/kernels.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "latentcast/kernels/packed_layout.h"

namespace latentcast::cuda {

inline constexpr int kHeadDim = 128;
inline constexpr PackedLayout kPacked{kHeadDim};
inline constexpr int kValueRows = kPacked.value_rows();
/// Bytes of a tile, of its keys' numbers alone, of its values.
inline constexpr int kKeyTile = kPacked.key_tile(), kKeyNumbers = kPacked.key_numbers(),
                     kValueTile = kPacked.value_tile();

/// Keys and values [tokens, heads, 128] to be packed, either may be null: it is left as it is.
struct Pack {
  int64_t tokens, heads;
  const void *keys, *values;
  int64_t key_stride, value_stride;  ///< numbers from a token to the next
  uint8_t* packed;
  float* sums;  ///< room for pack_sums() numbers
};

int64_t pack_sums(int64_t tokens, int64_t heads);
cudaError_t pack(const Pack& args, cudaStream_t stream);

inline constexpr int kMostPieces = kMostPackedPieces;

struct PackedAttention {
  int64_t queries, heads;
  const void* query;  ///< [queries, heads, 128], in one piece
  void* out;          ///< likewise
  int pieces;
  const uint8_t* packed[kMostPieces];
  int64_t tokens[kMostPieces];  ///< of each piece, at least one
};

/// For Hopper GPUs only.
cudaError_t packed_attention(const PackedAttention& args, cudaStream_t stream);

}  // namespace latentcast::cuda
