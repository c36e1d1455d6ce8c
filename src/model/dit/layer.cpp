#include "latentcast/model/dit/layer.h"

#include <ATen/ATen.h>

#include "latentcast/kernels/linear_gelu.h"
#include "latentcast/kernels/modulated_norm.h"
#include "latentcast/kernels/quantize.h"
#include "latentcast/kernels/residual.h"
#include "latentcast/kernels/rotated_norm.h"

namespace latentcast {
namespace {

constexpr double kAdainEpsilon = 1e-5;

enum Modulation { kShift1, kScale1, kGate1, kShift2, kScale2, kGate2 };

at::Tensor heads_of(const at::Tensor& x, const DitConfig& config) {
  return x.view({x.size(0), config.heads, config.head_dim()});
}

/// Attention of one sequence: q [queries, heads, d], k and v [keys, heads, d] -> [queries, dim].
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)).squeeze(0);
}

/// The self-attention of a block, whose own keys and values are there.
at::Tensor attend_to_window(const at::Tensor& query, const BlockPass& pass) {
  if (!pass.packed) return attend(query, pass.attended.key, pass.attended.value);
  pack_keys_and_values(pass.own.key, pass.own.value, pass.packed->own);
  return packed_attention(query, pass.packed->attended);
}

/// The form in which a product takes its input.
RowForm form_for(const Linear& linear) { return linear.is_fp8() ? RowForm::kFp8 : RowForm::kPlain; }

/// What the self-attention's products take.
Rows first_norm(const DitLayerWeights& w, const DitConfig& config, const at::Tensor& x, const at::Tensor& e) {
  return modulated_norm(x, e.narrow(0, kShift1, 1), e.narrow(0, kScale1, 1), config.eps, /*copies=*/1,
                        form_for(w.self_attention.q));
}

at::Tensor feed_forward(const DitLayerWeights& w, const Rows& x) {
  if (w.ffn_up.is_fp8()) return w.ffn_down(gelu_quantize(w.ffn_up(x)));
  return w.ffn_down(linear_gelu(x.values, w.ffn_up.weight, w.ffn_up.bias));
}

/// What a layer adds to its tokens: self-attention (times the first gate), attention to the prompt,
/// feed-forward part (times the second gate).
struct Terms {
  at::Tensor y, c, f;
};

/// The terms after the self-attention, whose output y has passed its product.
Terms add_terms(const DitLayerWeights& w, const DitConfig& config, const at::Tensor& x, const at::Tensor& y,
                const at::Tensor& e, const KeyValue& text) {
  const AttentionWeights& cross = w.cross_attention;
  const Rows h =
      gated_residual_norm(x, y, e[kGate1], w.norm3_weight, w.norm3_bias, config.eps, form_for(cross.q));
  const at::Tensor query = heads_of(rms_norm(cross.q(h), cross.norm_q, config.eps), config);
  const at::Tensor c = cross.o(attend(query, text.key, text.value));
  const at::Tensor f = feed_forward(
      w, residual_modulated_norm(x, y, e[kGate1], c, e[kShift2], e[kScale2], config.eps, form_for(w.ffn_up)));
  return {y, c, f};
}

at::Tensor sum_of(const at::Tensor& x, const Terms& t, const at::Tensor& e) {
  return gated_residuals(x, t.y, e[kGate1], t.c, t.f, e[kGate2]);
}

/// Tokens x after all but the injection, and normed as the injection (copies: one for each speaker) or the
/// next layer takes them.
SumAndNorm sum_and_norm(const at::Tensor& x, const Terms& t, const at::Tensor& e, const at::Tensor& shift,
                        const at::Tensor& scale, double eps, int64_t copies, RowForm form) {
  if (copies == 1) {
    return gated_residuals_norm(x, t.y, e[kGate1], t.c, t.f, e[kGate2], shift, scale, eps, form);
  }
  const at::Tensor sum = sum_of(x, t, e);
  return {sum, modulated_norm(sum, shift, scale, eps, copies, form)};
}

/// What the speakers' sound adds to tokens [latents · n, dim], which are given as the injection's norm makes
/// them, once for each speaker; see InjectorWeights.
at::Tensor audio_term(const InjectorWeights& w, const DitConfig& config, const Rows& h,
                      const AudioTokens& audio, const at::Tensor& speaker_mask) {
  const int64_t speakers = speaker_mask.defined() ? speaker_mask.size(0) : 1;
  const int64_t pairs = audio.global.size(0), tokens = h.values.size(0) / speakers;
  const AttentionWeights& a = w.attention;
  const auto split = [&](const at::Tensor& t) {
    return t.view({pairs, t.numel() / (pairs * config.dim), config.heads, config.head_dim()});
  };
  const at::Tensor q = split(rms_norm(a.q(h), a.norm_q, config.eps));
  const at::Tensor k = split(rms_norm(a.k(audio.local), a.norm_k, config.eps));
  const at::Tensor mixed = attention(q, k, split(a.v(audio.local)));
  const at::Tensor out = a.o(mixed.reshape({speakers * tokens, config.dim}));
  if (!speaker_mask.defined()) return out;
  return (out.view({speakers, tokens, config.dim}) * speaker_mask).sum(0);
}

/// Ends a layer: sums, injects the sound, and norms for the next layer if that is known.
BlockTokens end_block_layer(const DitLayerWeights& w, const DitConfig& config, const at::Tensor& x,
                            const Terms& terms, const BlockPass& pass) {
  const at::Tensor& e = pass.modulation;
  // All layers take their input in one form.
  const RowForm form = form_for(w.self_attention.q);
  const bool known = pass.next_modulation.defined();
  const at::Tensor shift = known ? pass.next_modulation.narrow(0, kShift1, 1) : at::Tensor(),
                   scale = known ? pass.next_modulation.narrow(0, kScale1, 1) : at::Tensor();
  if (!w.injector) {
    if (!known) return {sum_of(x, terms, e), {}};
    auto [sum, normed] = sum_and_norm(x, terms, e, shift, scale, config.eps, /*copies=*/1, form);
    return {sum, normed};
  }
  const InjectorWeights& injector = *w.injector;
  const int64_t speakers = pass.speaker_mask.defined() ? pass.speaker_mask.size(0) : 1;
  const at::Tensor adain = injector.adain(at::silu(pass.audio->global)).to(at::kFloat);  // shift, scale
  const auto [sum, h] =
      sum_and_norm(x, terms, e, adain.narrow(1, 0, config.dim), adain.narrow(1, config.dim, config.dim),
                   kAdainEpsilon, speakers, form_for(injector.attention.q));
  const at::Tensor sound = audio_term(injector, config, h, *pass.audio, pass.speaker_mask);
  if (!known) return {sum + sound, {}};
  auto [with_sound, normed] = residual_norm(sum, sound, shift, scale, config.eps, form);
  return {with_sound, normed};
}

}  // namespace

KeyValue text_key_value(const DitLayerWeights& w, const at::Tensor& text, const DitConfig& config) {
  const AttentionWeights& a = w.cross_attention;
  return {heads_of(rms_norm(a.k(text), a.norm_k, config.eps), config), heads_of(a.v(text), config)};
}

at::Tensor run_condition_layer(const DitLayerWeights& w, const DitConfig& config, const at::Tensor& x,
                               const at::Tensor& modulation, const at::Tensor& rope, const KeyValue& text,
                               ConditionKeys& made, bool last) {
  const AttentionWeights& a = w.self_attention;
  const Rows h = first_norm(w, config, x, modulation);
  made.key = heads_of(rms_norm(a.k(h), a.norm_k, config.eps), config);
  made.value = heads_of(a.v(h), config);
  made.rotated = at::empty_like(made.key);
  rotate_rows(made.key, rope, made.rotated);
  if (last) {
    return {};
  }
  const at::Tensor query = heads_of(rms_norm(a.q(h), a.norm_q, config.eps), config);
  const at::Tensor rotated = at::empty_like(query);
  rotate_rows(query, rope, rotated);
  const at::Tensor y = a.o(attend(rotated, made.rotated, made.value));
  return sum_of(x, add_terms(w, config, x, y, modulation, text), modulation);
}

BlockTokens run_block_layer(const DitLayerWeights& w, const DitConfig& config, const BlockTokens& tokens,
                            const BlockPass& pass, const KeyValue& text) {
  const AttentionWeights& a = w.self_attention;
  const at::Tensor& x = tokens.x;
  const Rows h = tokens.normed.values.defined() ? tokens.normed : first_norm(w, config, x, pass.modulation);
  const at::Tensor query = at::empty(pass.own.key.sizes(), x.options());
  if (a.query_key_value.weight.defined()) {
    split_query_key_value(a.query_key_value(h), a.norm_q, a.norm_k, pass.rope, config.eps, query,
                          pass.own.key, pass.own.value);
  } else {
    a.v.into(h, pass.own.value.view({x.size(0), config.dim}));
    rotate_query_key(a.q(h), a.k(h), a.norm_q, a.norm_k, pass.rope, config.eps, query, pass.own.key);
  }
  const at::Tensor y = a.o(attend_to_window(query, pass));
  return end_block_layer(w, config, x, add_terms(w, config, x, y, pass.modulation, text), pass);
}

}  // namespace latentcast
