#pragma once

#include <cstdint>

namespace latentcast {

/// Tokens that share a scale of their keys, and that attention takes at once.
inline constexpr int64_t kPackedTile = 160;
/// Tiles whose products with values are added up in the tensor cores' own numbers, of some 14 bits: more
/// cost precision, fewer time.
inline constexpr int64_t kPackedStretch = 8;

/// Pieces that attention takes at most.
inline constexpr int64_t kMostPackedPieces = 16;

/// Where things lie in packed keys and values of some tokens (see packed_attention.h), in bytes:
///
/// - keys: for each head and tile [chunks of 16 dims][160 tokens][16] int8, then their scale (float32), flags
///   (int32: 1 if a stretch ends with the tile, 2 more if the piece does) and 8 bytes of nothing;
/// - values: for each head and tile [10 chunks of 16 tokens][dims + 8][16] e4m3, of which one row more than
///   the dims is ones, so that the product with weights gives their sum too;
/// - for each head [dims] float32: the keys' means, the values' scales, the values' means.
///
/// A tile is filled up with the last token's keys, and with zeros for its values and its ones: so it needs no
/// care. Other dims that only fill up are zeros. A value's place among the 16 of its chunk is
/// place_in_chunk(): in this order the tensor cores take what they just gave.
struct PackedLayout {
  int64_t head_dim;

  static constexpr int64_t kChunk = 16;
  static constexpr int64_t tiles(int64_t tokens) { return (tokens + kPackedTile - 1) / kPackedTile; }
  constexpr int64_t key_chunks() const { return (head_dim + kChunk - 1) / kChunk; }
  constexpr int64_t key_numbers() const { return key_chunks() * kChunk * kPackedTile; }
  constexpr int64_t key_tile() const { return key_numbers() + 16; }
  constexpr int64_t value_rows() const { return head_dim + 8; }
  constexpr int64_t value_tile() const { return value_rows() * kPackedTile; }
  static constexpr int32_t flags(int64_t tile, int64_t tiles) {
    return tile + 1 == tiles ? 3 : tile % kPackedStretch == kPackedStretch - 1 ? 1 : 0;
  }

  constexpr int64_t values_at(int64_t tokens, int64_t heads) const {
    return tiles(tokens) * heads * key_tile();
  }
  constexpr int64_t key_mean_at(int64_t tokens, int64_t heads) const {
    return values_at(tokens, heads) + tiles(tokens) * heads * value_tile();
  }
  constexpr int64_t value_scale_at(int64_t tokens, int64_t heads) const {
    return key_mean_at(tokens, heads) + heads * head_dim * 4;
  }
  constexpr int64_t value_mean_at(int64_t tokens, int64_t heads) const {
    return value_scale_at(tokens, heads) + heads * head_dim * 4;
  }
  constexpr int64_t bytes(int64_t tokens, int64_t heads) const {
    return value_mean_at(tokens, heads) + heads * head_dim * 4;
  }

  /// Of token i of a chunk.
  static constexpr int64_t place_in_chunk(int64_t i) { return i / 2 % 4 * 4 + i / 8 * 2 + i % 2; }
};

}  // namespace latentcast
