#include "attention_inputs.h"

#include <ATen/ATen.h>

namespace latentcast::test {

AttentionInput attention_input(const std::string& kind, int64_t queries, const std::vector<int64_t>& tokens,
                               int64_t heads, int64_t dim) {
  at::manual_seed(11);
  AttentionInput input{at::randn({queries, heads, dim}), {}, {}};
  for (const int64_t count : tokens) {
    input.keys.push_back(at::randn({count, heads, dim}));
    input.values.push_back(at::randn({count, heads, dim}));
  }
  const auto change = [](std::vector<at::Tensor>& all, const auto& how) {
    for (size_t i = 0; i < all.size(); ++i) all[i] = how(all[i], i);
  };
  const auto per_channel = [&] { return at::randn({heads, dim}); };
  if (kind == "sharp") input.query *= 4;
  if (kind == "outlier channels") {
    // As many networks' keys have them: a few channels far from zero, in all tokens.
    const at::Tensor shift = per_channel() * (at::rand({heads, dim}) < 0.05) * 20;
    change(input.keys, [&](const at::Tensor& x, size_t) { return x + shift; });
  }
  if (kind == "values with means") {
    const at::Tensor shift = per_channel() * 2;
    change(input.values, [&](const at::Tensor& x, size_t) { return x * 0.5 + shift; });
  }
  if (kind == "pieces differ") {
    change(input.keys, [&](const at::Tensor& x, size_t) { return x + 2 * per_channel(); });
    change(input.values, [&](const at::Tensor& x, size_t i) { return x * (i + 1.0) + per_channel(); });
  }
  if (kind == "outlier tokens") {
    const auto louder = [](const at::Tensor& x, size_t) {
      const at::Tensor every = at::arange(x.size(0)).remainder(37).eq(0).view({-1, 1, 1});
      return at::where(every, x * 6, x);
    };
    change(input.keys, louder);
    change(input.values, louder);
  }
  if (kind == "tiny") change(input.values, [](const at::Tensor& x, size_t) { return x * 1e-10; });
  if (kind == "huge values") change(input.values, [](const at::Tensor& x, size_t) { return x * 1e15; });
  if (kind == "zeros") {
    input.query.zero_();
    change(input.keys, [](const at::Tensor& x, size_t) { return at::zeros_like(x); });
    change(input.values, [](const at::Tensor& x, size_t) { return at::zeros_like(x); });
  }
  if (kind == "equal keys")
    change(input.keys, [](const at::Tensor& x, size_t) { return at::full_like(x, 3); });
  const auto rounded = [](const at::Tensor& x, size_t) { return x.to(at::kBFloat16).to(at::kFloat); };
  input.query = rounded(input.query, 0);
  change(input.keys, rounded);
  change(input.values, rounded);
  return input;
}

const std::vector<std::pair<std::string, double>>& hard_attention_inputs() {
  // What the CPU's twin gives, and half as much again; no less than bf16's own roundings.
  static const std::vector<std::pair<std::string, double>> kinds = {
      {"sharp", 0.056},         {"outlier channels", 0.054}, {"values with means", 0.004},
      {"pieces differ", 0.017}, {"outlier tokens", 0.037},   {"tiny", 0.054},
      {"huge values", 0.054}};
  return kinds;
}

PackedPieces packed(const AttentionInput& input) {
  PackedPieces pieces;
  for (size_t i = 0; i < input.keys.size(); ++i) {
    const at::Tensor& key = input.keys[i];
    pieces.tokens.push_back(key.size(0));
    pieces.packed.push_back(
        at::zeros({packed_bytes(key.size(0), key.size(1), key.size(2))}, key.options().dtype(at::kByte)));
    pack_keys_and_values(key, input.values[i], pieces.packed.back());
  }
  return pieces;
}

at::Tensor exact(const AttentionInput& input) {
  const auto by_heads = [](const at::Tensor& x) { return x.to(at::kDouble).transpose(0, 1).unsqueeze(0); };
  const at::Tensor out = at::scaled_dot_product_attention(
      by_heads(input.query), by_heads(at::cat(input.keys)), by_heads(at::cat(input.values)));
  return out.squeeze(0).transpose(0, 1);
}

double relative(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
}

}  // namespace latentcast::test
