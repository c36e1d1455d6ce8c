#include "latentcast/model/dit/embeddings.h"

#include <cmath>

#include <ATen/ATen.h>

#include "latentcast/model/vae/latent_scale.h"

namespace latentcast {
namespace {

enum MaskRow { kNoisy = 0, kReference = 1, kMotion = 2 };
constexpr int64_t kMotionSpan[3] = {1, 2, 16};  // latents, from the newest to the oldest

/// [16, f, h, w] -> [f · h/2 · w/2, 16·2·2], in the order in which the patch embedding's weight has them.
at::Tensor patches(const at::Tensor& latents) {
  const int64_t c = latents.size(0), f = latents.size(1), h = latents.size(2) / 2, w = latents.size(3) / 2;
  return latents.view({c, f, h, 2, w, 2}).permute({1, 2, 4, 0, 3, 5}).reshape({f * h * w, c * 4});
}

/// Sinusoidal embedding of a timestep (Vaswani et al. 2017), cosines first; computed in double.
at::Tensor sinusoid(double timestep, int64_t dim) {
  const int64_t half = dim / 2;
  at::Tensor out = at::empty({dim}, at::kFloat);
  float* to = out.data_ptr<float>();
  for (int64_t i = 0; i < half; ++i) {
    const double angle = timestep * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
    to[i] = static_cast<float>(std::cos(angle));
    to[half + i] = static_cast<float>(std::sin(angle));
  }
  return out;
}

at::Tensor in_type_of(const at::Tensor& x, const Linear& like) { return x.to(like.weight.options()); }

}  // namespace

TimeModulation modulate(const DitGlobalWeights& w, double timestep) {
  const at::Tensor input = in_type_of(sinusoid(timestep, w.time1.in_features()), w.time1);
  const at::Tensor e = w.time2(at::silu(w.time1(input)));
  return {e, w.time_projection(at::silu(e)).view({6, -1})};
}

at::Tensor embed_noisy(const DitGlobalWeights& w, const at::Tensor& latents, const at::Tensor& pose) {
  const at::Tensor tokens = w.patch(patches(in_type_of(latents, w.patch)));
  const at::Tensor posed = w.pose_patch(patches(in_type_of(pose, w.pose_patch)));
  return tokens + posed + w.condition_mask[kNoisy];
}

at::Tensor embed_condition(const DitGlobalWeights& w, const at::Tensor& reference, const at::Tensor& motion) {
  std::vector<at::Tensor> parts = {w.patch(patches(in_type_of(reference, w.patch))) +
                                   w.condition_mask[kReference]};
  const at::Tensor past = motion.to(w.patch.weight.options()).unsqueeze(0);
  int64_t end = past.size(2);
  for (int i = 0; i < 3; ++i) {
    const at::Tensor span = past.narrow(2, end - kMotionSpan[i], kMotionSpan[i]);
    end -= kMotionSpan[i];
    const at::Tensor grid = at::conv3d(span, w.motion_weight[i], w.motion_bias[i],
                                       /*stride=*/w.motion_weight[i].sizes().slice(2));
    parts.push_back(grid.flatten(2).squeeze(0).transpose(0, 1) + w.condition_mask[kMotion]);
  }
  return at::cat(parts, 0);
}

at::Tensor embed_text(const DitGlobalWeights& w, const at::Tensor& text, int64_t text_len) {
  at::Tensor padded = at::zeros({text_len, text.size(1)}, w.text1.weight.options());
  padded.narrow(0, 0, text.size(0)).copy_(text);
  return w.text2(at::gelu(w.text1(padded), "tanh"));
}

at::Tensor predict_velocity(const DitGlobalWeights& weights, const at::Tensor& tokens,
                            const TimeModulation& time, int64_t frames, int64_t h, int64_t w) {
  const at::Tensor shift = weights.head_modulation[0] + time.head,
                   scale = weights.head_modulation[1] + time.head;
  const at::Tensor x = plain_layer_norm(tokens.to(at::kFloat), 1e-6) * (1 + scale) + shift;
  return weights.head(x)
      .view({frames, h / 2, w / 2, 2, 2, kLatentChannels})
      .permute({5, 0, 1, 3, 2, 4})
      .reshape({kLatentChannels, frames, h, w});
}

}  // namespace latentcast
