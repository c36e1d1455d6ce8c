#include "latentcast/model/dit/layer.h"

#include <ATen/ATen.h>

#include "latentcast/model/dit/rope.h"

namespace latentcast {
namespace {

constexpr double kAdainEpsilon = 1e-5;

enum Modulation { kShift1, kScale1, kGate1, kShift2, kScale2, kGate2 };

at::Tensor heads_of(const at::Tensor& x, const DitConfig& config) {
  return x.view({x.size(0), config.heads, config.head_dim()});
}

struct QueryKeyValue {
  at::Tensor query, key, value;  // [tokens, heads, head_dim], not rotated
};

QueryKeyValue project(const AttentionWeights& w, const at::Tensor& x, const DitConfig& config) {
  return {heads_of(rms_norm(w.q(x), w.norm_q, config.eps), config),
          heads_of(rms_norm(w.k(x), w.norm_k, config.eps), config), heads_of(w.v(x), config)};
}

/// Attention of one sequence: q [queries, heads, d], k and v [keys, heads, d] -> [queries, dim].
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)).squeeze(0);
}

/// Layer norm, scaled and shifted, rounded to `type`.
at::Tensor modulated_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double eps,
                          at::ScalarType type) {
  return plain_layer_norm(x.to(at::kFloat), eps).mul_(1 + scale).add_(shift).to(type);
}

/// What follows the self-attention, whose output y has passed its product: x and the result in float32 and
/// type.
at::Tensor finish_layer(const DitLayerWeights& w, const DitConfig& config, const at::Tensor& x,
                        const at::Tensor& y, const at::Tensor& e, const KeyValue& text) {
  const at::ScalarType type = x.scalar_type();
  at::Tensor r = x.to(at::kFloat) + y.to(at::kFloat) * e[kGate1];
  const at::Tensor h = at::layer_norm(r.to(type), {config.dim}, w.norm3_weight, w.norm3_bias, config.eps);
  const at::Tensor query =
      heads_of(rms_norm(w.cross_attention.q(h), w.cross_attention.norm_q, config.eps), config);
  r.add_(w.cross_attention.o(attend(query, text.key, text.value)));
  const at::Tensor up = w.ffn_up(modulated_norm(r, e[kShift2], e[kScale2], config.eps, type));
  r.add_(w.ffn_down(at::gelu(up, "tanh")).to(at::kFloat).mul_(e[kGate2]));
  return r.to(type);
}

/// Adds what the speakers' sound does to x [latents · n, dim]; see InjectorWeights.
at::Tensor inject_audio(const InjectorWeights& w, const DitConfig& config, const at::Tensor& x,
                        const AudioTokens& audio, const at::Tensor& speaker_mask) {
  const int64_t speakers = speaker_mask.defined() ? speaker_mask.size(0) : 1;
  const int64_t pairs = audio.global.size(0), latents = pairs / speakers, n = x.size(0) / latents;
  const std::vector<at::Tensor> adain =
      w.adain(at::silu(audio.global)).to(at::kFloat).chunk(2, 1);  // shift, scale
  const auto per_pair = [&](const at::Tensor& t) { return t.view({speakers, latents, 1, config.dim}); };
  at::Tensor h = plain_layer_norm(x.to(at::kFloat), kAdainEpsilon).view({1, latents, n, config.dim});
  h = (h * (1 + per_pair(adain[1])) + per_pair(adain[0])).to(x.scalar_type()).view({pairs, n, config.dim});

  const AttentionWeights& a = w.attention;
  const auto split = [&](const at::Tensor& t) {
    return t.view({pairs, t.size(1), config.heads, config.head_dim()});
  };
  const at::Tensor q = split(rms_norm(a.q(h), a.norm_q, config.eps));
  const at::Tensor k = split(rms_norm(a.k(audio.local), a.norm_k, config.eps));
  at::Tensor out = a.o(attention(q, k, split(a.v(audio.local)))).view({speakers, latents * n, config.dim});
  if (speaker_mask.defined()) {
    out = (out * speaker_mask).sum(0, /*keepdim=*/true);
  }
  return x + out.squeeze(0);
}

}  // namespace

KeyValue text_key_value(const DitLayerWeights& w, const at::Tensor& text, const DitConfig& config) {
  const AttentionWeights& a = w.cross_attention;
  return {heads_of(rms_norm(a.k(text), a.norm_k, config.eps), config), heads_of(a.v(text), config)};
}

at::Tensor run_condition_layer(const DitLayerWeights& w, const DitConfig& config, const at::Tensor& x,
                               const at::Tensor& modulation, const at::Tensor& rope, const KeyValue& text,
                               KeyValue& cache, bool last) {
  const at::Tensor e = w.modulation + modulation;
  const QueryKeyValue qkv = project(
      w.self_attention, modulated_norm(x, e[kShift1], e[kScale1], config.eps, x.scalar_type()), config);
  cache = {qkv.key, qkv.value};
  if (last) {
    return {};
  }
  const at::Tensor mixed = attend(rotate(qkv.query, rope), rotate(qkv.key, rope), qkv.value);
  return finish_layer(w, config, x, w.self_attention.o(mixed), e, text);
}

at::Tensor run_block_layer(const DitLayerWeights& w, const DitConfig& config, const at::Tensor& x,
                           const BlockPass& pass, const KeyValue& text, const KeyValue& condition,
                           KeyValue& window) {
  const at::Tensor e = w.modulation + pass.modulation;
  const QueryKeyValue qkv = project(
      w.self_attention, modulated_norm(x, e[kShift1], e[kScale1], config.eps, x.scalar_type()), config);
  window.key.narrow(0, pass.cache_begin, x.size(0)).copy_(rotate(qkv.key, pass.rope));
  window.value.narrow(0, pass.cache_begin, x.size(0)).copy_(qkv.value);
  const at::Tensor keys =
      at::cat({window.key.narrow(0, 0, pass.cache_filled), rotate(condition.key, pass.condition_rope)}, 0);
  const at::Tensor values = at::cat({window.value.narrow(0, 0, pass.cache_filled), condition.value}, 0);
  const at::Tensor mixed = attend(rotate(qkv.query, pass.rope), keys, values);
  const at::Tensor y = finish_layer(w, config, x, w.self_attention.o(mixed), e, text);
  return w.injector ? inject_audio(*w.injector, config, y, *pass.audio, pass.speaker_mask) : y;
}

}  // namespace latentcast
