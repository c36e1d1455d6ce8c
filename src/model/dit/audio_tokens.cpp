#include "latentcast/model/dit/audio_tokens.h"

#include <utility>

#include <ATen/ATen.h>

namespace latentcast {
namespace {

constexpr int64_t kPastFrames = 73;   // what the public code puts before a block, in frames
constexpr int64_t kPastLatents = 19;  // and what comes of them
constexpr double kEpsilon = 1e-6;

/// x [n, channels, time] -> [n, time, out]: the past is replicated, then norm and SiLU.
at::Tensor conv_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                     int64_t groups) {
  const at::Tensor padded = at::replication_pad1d(x, {weight.size(2) - 1, 0});
  at::Tensor y = at::conv1d(padded, weight, bias, stride);
  const int64_t n = y.size(0), width = y.size(1) / groups, time = y.size(2);
  // Groups of channels become sequences of their own.
  y = y.view({n * groups, width, time}).transpose(1, 2);
  return at::silu(plain_layer_norm(y, kEpsilon));
}

/// A stage that halves time. x [n, time, channels] -> [n, time / 2, out].
at::Tensor halved(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return conv_norm(x.transpose(1, 2), weight, bias, 2, 1);
}

}  // namespace

void keep_on_host(AudioEncoderWeights& weights) {
  for (at::Tensor* weight : {&weights.conv_local_weight, &weights.conv_global_weight, &weights.conv2_weight,
                             &weights.conv3_weight, &weights.final_linear.weight}) {
    const at::Tensor host = at::empty(
        weight->sizes(), weight->options().device(at::kCPU).pinned_memory(weight->device().is_cuda()));
    *weight = host.copy_(*weight);
  }
}

AudioTokens encode_audio_tokens(const AudioEncoderWeights& w, const at::Tensor& features, int64_t tokens,
                                at::ScalarType type) {
  const int64_t speakers = features.size(0), dim = w.padding_token.size(0);
  const at::Tensor wide = features.to(w.padding_token.options());
  const at::Tensor past = wide.narrow(1, 0, 1).expand({-1, kPastFrames, -1});
  const at::Tensor x = at::cat({past, wide}, 1).transpose(1, 2);
  // From the host each comes once, and goes after its use.
  const auto there = [&](const at::Tensor& weight) {
    return weight.to(wide.device(), /*non_blocking=*/true, /*copy=*/false);
  };

  at::Tensor local = conv_norm(x, there(w.conv_local_weight), w.conv_local_bias, 1, tokens);
  at::Tensor global = conv_norm(x, there(w.conv_global_weight), w.conv_global_bias, 1, 1);
  for (const auto& [kept, bias] :
       {std::pair{&w.conv2_weight, &w.conv2_bias}, {&w.conv3_weight, &w.conv3_bias}}) {
    const at::Tensor weight = there(*kept);
    local = halved(local, weight, *bias);
    global = halved(global, weight, *bias);
  }
  const int64_t latents = local.size(1) - kPastLatents;
  local = local.view({speakers, tokens, -1, dim}).narrow(2, kPastLatents, latents).transpose(1, 2);
  local = at::cat({local, w.padding_token.expand({speakers, latents, 1, dim})}, 2);

  Linear last = w.final_linear;
  last.weight = there(last.weight);
  global = last(global).narrow(1, kPastLatents, latents);
  return {global.reshape({speakers * latents, dim}).to(type),
          local.reshape({speakers * latents, tokens + 1, dim}).to(type)};
}

}  // namespace latentcast
