#include "latentcast/kernels/packed_attention.h"

#include <cmath>

#include "fp8.h"
#include "operation.h"
#include <ATen/ATen.h>
#include <torch/library.h>

namespace latentcast {
namespace {

using Optional = std::optional<at::Tensor>;

constexpr double kInt8Largest = 127;
constexpr double kLeast = 1e-15;  // that a scale stands for: products of two are no denormals
constexpr double kDenormal = 0x1p-126;
constexpr double kLift = 8;  // weights are times 2⁸: the largest is in the upper part of e4m3's range

/// Packed keys and values as tensors: views.
struct Views {
  at::Tensor keys;                               ///< [heads, tiles, chunks, 160, 16] int8
  at::Tensor key_scale;                          ///< [heads, tiles, 1] float32
  at::Tensor flags;                              ///< [heads, tiles, 3] int32, the first
  at::Tensor values;                             ///< [heads, tiles, 10, dims + 8, 16] e4m3
  at::Tensor key_mean, value_scale, value_mean;  ///< [heads, dims] float32

  Views(const at::Tensor& packed, int64_t tokens, int64_t heads, int64_t dim) {
    const PackedLayout layout{dim};
    const int64_t tiles = PackedLayout::tiles(tokens), chunk = PackedLayout::kChunk;
    const at::Tensor key_tiles =
        packed.narrow(0, 0, layout.values_at(tokens, heads)).view({heads, tiles, layout.key_tile()});
    keys = key_tiles.narrow(2, 0, layout.key_numbers())
               .view(at::kChar)
               .view({heads, tiles, layout.key_chunks(), kPackedTile, chunk});
    key_scale = key_tiles.narrow(2, layout.key_numbers(), 4).view(at::kFloat);
    flags = key_tiles.narrow(2, layout.key_numbers() + 4, 12).view(at::kInt);
    values = packed.narrow(0, layout.values_at(tokens, heads), tiles * heads * layout.value_tile())
                 .view(at::kFloat8_e4m3fn)
                 .view({heads, tiles, kPackedTile / chunk, layout.value_rows(), chunk});
    const auto floats = [&](int64_t at) {
      return packed.narrow(0, at, heads * dim * static_cast<int64_t>(sizeof(float)))
          .view(at::kFloat)
          .view({heads, dim});
    };
    key_mean = floats(layout.key_mean_at(tokens, heads));
    value_scale = floats(layout.value_scale_at(tokens, heads));
    value_mean = floats(layout.value_mean_at(tokens, heads));
  }
};

/// Place in its chunk of each of 16 tokens.
at::Tensor places() {
  at::Tensor places = at::empty({PackedLayout::kChunk}, at::kLong);
  for (int64_t i = 0; i < PackedLayout::kChunk; ++i) places[i] = PackedLayout::place_in_chunk(i);
  return places;
}

/// Zeros behind the numbers of a dimension.
at::Tensor filled_up(const at::Tensor& x, int64_t dim, int64_t size) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[static_cast<size_t>(dim)] = size;
  at::Tensor all = at::zeros(sizes, x.options());
  all.narrow(dim, 0, x.size(dim)).copy_(x);
  return all;
}

at::Tensor to_int8(const at::Tensor& x) { return x.round().nan_to_num(0, 0, 0).to(at::kChar); }

void pack_keys(const at::Tensor& key, const Views& packed) {
  const at::Tensor x = key.to(at::kFloat).transpose(0, 1);  // [heads, tokens, dim]
  const int64_t heads = x.size(0), tiles = packed.keys.size(1), chunks = packed.keys.size(2);
  const at::Tensor mean = x.mean(1, /*keepdim=*/true, at::kDouble).to(at::kFloat);
  // A tile's end repeats the last token.
  const at::Tensor order = at::arange(tiles * kPackedTile, at::kLong).clamp_max(x.size(1) - 1);
  const at::Tensor centred = filled_up((x - mean).index_select(1, order), 2, chunks * 16)
                                 .view({heads, tiles, kPackedTile, chunks, 16});
  const at::Tensor largest = centred.abs().amax({2, 3, 4}, /*keepdim=*/true).clamp_min(kLeast);
  packed.keys.copy_(to_int8(centred * (at::full_like(largest, kInt8Largest) / largest)).transpose(2, 3));
  packed.key_scale.copy_((largest / kInt8Largest).view({heads, tiles, 1}));
  packed.key_mean.copy_(mean.squeeze(1));
  packed.flags.zero_();
  for (int64_t i = 0; i < tiles; ++i) {
    packed.flags.select(1, i).select(1, 0).fill_(PackedLayout::flags(i, tiles));
  }
}

void pack_values(const at::Tensor& value, const Views& packed) {
  const at::Tensor x = value.to(at::kFloat).transpose(0, 1);
  const int64_t heads = x.size(0), dim = x.size(2), tiles = packed.values.size(1);
  const at::Tensor mean = x.mean(1, /*keepdim=*/true, at::kDouble).to(at::kFloat), centred = x - mean;
  const at::Tensor largest =
      at::where(centred.isnan(), 0.0, centred.abs()).amax({1}, /*keepdim=*/true).clamp_min(kLeast);
  const at::Tensor scaled = (centred * (largest / kFp8Largest).reciprocal()).clamp(-kFp8Largest, kFp8Largest);
  const at::Tensor with_ones = filled_up(scaled, 2, packed.values.size(3));
  with_ones.select(2, dim).fill_(1);
  const at::Tensor in_tokens =
      filled_up(with_ones, 1, tiles * kPackedTile)
          .view({heads, tiles, kPackedTile / PackedLayout::kChunk, PackedLayout::kChunk, -1});
  const at::Tensor in_places = at::empty_like(in_tokens).index_copy_(3, places(), in_tokens);
  packed.values.copy_(in_places.transpose(3, 4).to(at::kFloat8_e4m3fn));
  packed.value_scale.copy_((largest / kFp8Largest).squeeze(1));
  packed.value_mean.copy_(mean.squeeze(1));
}

void pack_cpu(const Optional& key, const Optional& value, const at::Tensor& packed) {
  const at::Tensor& any = key ? *key : *value;
  const Views views(packed, any.size(0), any.size(1), any.size(2));
  if (key) pack_keys(*key, views);
  if (value) pack_values(*value, views);
}

/// Attention of some queries, a tile after the other.
class Attending {
 public:
  explicit Attending(const at::Tensor& query) {
    const at::Tensor x = query.to(at::kFloat).transpose(0, 1);  // [heads, queries, dim]
    const at::Tensor largest = x.abs().amax({2}, /*keepdim=*/true).clamp_min(kLeast);
    const double exponent = std::log2(std::exp(1.0)) / std::sqrt(static_cast<double>(x.size(2)));
    query_ = to_int8(x * (at::full_like(largest, kInt8Largest) / largest)).to(at::kFloat);
    scale_ = largest / kInt8Largest * exponent;
    top_ = at::full_like(largest, -INFINITY);
    weight_ = at::zeros_like(largest);
    total_ = at::zeros_like(x);
  }

  void add(const Views& piece) {
    const at::Tensor bias = at::bmm(query_, piece.key_mean.unsqueeze(2)) * scale_;
    const at::Tensor order = places();
    const int64_t dim = query_.size(2);
    for (int64_t tile = 0; tile < piece.keys.size(1); ++tile) {
      const at::Tensor keys = piece.keys.select(1, tile).transpose(1, 2).flatten(2).to(at::kFloat);
      const at::Tensor values =
          piece.values.select(1, tile).to(at::kFloat).index_select(3, order).transpose(2, 3).flatten(1, 2);
      add_tile(keys.narrow(2, 0, dim), values.narrow(2, 0, dim), values.select(2, dim).unsqueeze(1),
               scale_ * piece.key_scale.select(1, tile).unsqueeze(2), bias, piece);
    }
  }

  at::Tensor result(at::ScalarType type) const {
    return (total_ / weight_).to(type).transpose(0, 1).flatten(1);
  }

 private:
  /// keys and values [heads, tokens, dim] in 8 bits' numbers; ones [heads, 1, tokens], zeros where there is
  /// no token.
  void add_tile(const at::Tensor& keys, const at::Tensor& values, const at::Tensor& ones,
                const at::Tensor& scale, const at::Tensor& bias, const Views& piece) {
    const at::Tensor products = at::bmm(query_, keys.transpose(1, 2));  // whole numbers, exact
    const at::Tensor top = at::maximum(top_, products.amax({2}, /*keepdim=*/true) * scale + bias);
    // As on a GPU, no denormals: a CPU takes long over them.
    const at::Tensor weights = at::threshold(at::exp2(products * scale + (bias - top + kLift)), kDenormal, 0);
    const at::Tensor keep = at::exp2(top_ - top);
    const at::Tensor in_8_bits = weights.to(at::kFloat8_e4m3fn).to(at::kFloat);
    const at::Tensor sum = (in_8_bits * ones).sum({2}, /*keepdim=*/true);
    total_ = total_ * keep + at::bmm(in_8_bits, values) * piece.value_scale.unsqueeze(1) +
             sum * piece.value_mean.unsqueeze(1);
    weight_ = weight_ * keep + sum;
    top_ = top;
  }

  at::Tensor query_, scale_;  ///< [heads, queries, dim], [heads, queries, 1]
  at::Tensor top_;            ///< largest exponent so far
  at::Tensor weight_, total_;
};

at::Tensor attention_cpu(const at::Tensor& query, at::TensorList packed, at::IntArrayRef tokens) {
  Attending attending(query);
  for (size_t i = 0; i < packed.size(); ++i) {
    attending.add(Views(packed[i], tokens[i], query.size(1), query.size(2)));
  }
  return attending.result(query.scalar_type());
}

std::string refusal_cpu(const at::Tensor&) { return {}; }

Optional given(const at::Tensor& x) { return x.defined() ? Optional(x) : std::nullopt; }

}  // namespace

int64_t packed_bytes(int64_t tokens, int64_t heads, int64_t head_dim) {
  return PackedLayout{head_dim}.bytes(tokens, heads);
}

void pack_keys_and_values(const at::Tensor& key, const at::Tensor& value, const at::Tensor& packed) {
  static const auto run = operation<void(const Optional&, const Optional&, const at::Tensor&)>(
      "latentcast::pack_keys_and_values");
  run.call(given(key), given(value), packed);
}

at::Tensor packed_attention(const at::Tensor& query, const PackedPieces& pieces) {
  static const auto run = operation<at::Tensor(const at::Tensor&, at::TensorList, at::IntArrayRef)>(
      "latentcast::packed_attention");
  return run.call(query, pieces.packed, pieces.tokens);
}

std::string packed_attention_refusal(const at::Tensor& like) {
  static const auto run = operation<std::string(const at::Tensor&)>("latentcast::packed_attention_refusal");
  return run.call(like);
}

TORCH_LIBRARY_FRAGMENT(latentcast, library) {
  library.def("pack_keys_and_values(Tensor? key, Tensor? value, Tensor(a!) packed) -> ()");
  library.def("packed_attention(Tensor query, Tensor[] packed, int[] tokens) -> Tensor");
  library.def("packed_attention_refusal(Tensor like) -> str");
}

TORCH_LIBRARY_IMPL(latentcast, CPU, library) {
  library.impl("pack_keys_and_values", &pack_cpu);
  library.impl("packed_attention", &attention_cpu);
  library.impl("packed_attention_refusal", &refusal_cpu);
}

}  // namespace latentcast
