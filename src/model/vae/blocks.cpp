#include "latentcast/model/vae/blocks.h"

#include <cmath>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/kernels/channel_norm.h"
#include "latentcast/kernels/conv3d.h"

namespace latentcast {
namespace {

at::Tensor take_any(TensorSource& source, const std::string& name, size_t dimensions) {
  const std::vector<int64_t> shape = source.shape(name);
  if (shape.size() != dimensions) {
    throw InputError("autoencoder: tensor " + name + " has " + std::to_string(shape.size()) +
                     " dimensions, not " + std::to_string(dimensions) + "; is this Wan2.1_VAE.pth?");
  }
  return source.take(name, shape);
}

/// A GPU convolves faster with the channels last; all that follows from such weights and inputs keeps the
/// order.
at::Tensor in_device_order(const at::Tensor& weight) {
  return weight.is_cuda() ? weight.contiguous(at::MemoryFormat::ChannelsLast3d) : weight;
}

}  // namespace

at::Tensor nothing_before(const at::Tensor& like, int64_t frames) {
  return at::empty({1, like.size(1), frames, like.size(3), like.size(4)}, like.options(),
                   like.suggest_memory_format())
      .zero_();
}

at::Tensor& CausalCursor::next() {
  if (next_ == state_.caches.size()) {
    state_.caches.emplace_back();
  }
  return state_.caches[next_++];
}

at::Tensor& CausalConv::past_of(const at::Tensor& like, CausalCursor& cursor) const {
  at::Tensor& cache = cursor.next();
  if (!cache.defined()) {
    cache = nothing_before(like, past());
  }
  // One from a checkpoint lies as tensors do by default, and another layout may mean other bits.
  cache = cache.contiguous(like.suggest_memory_format());
  return cache;
}

at::Tensor CausalConv::convolve(const at::Tensor& input, at::Tensor& cache) const {
  cache = input.narrow(2, input.size(2) - past(), past()).clone(input.suggest_memory_format());
  return latentcast::convolve(input, weight, bias, /*stride=*/{1, 1, 1}, /*side_padding=*/weight.size(3) / 2);
}

at::Tensor CausalConv::run(const at::Tensor& x, CausalCursor& cursor) const {
  at::Tensor& cache = past_of(x, cursor);
  return convolve(at::cat({cache, x}, 2), cache);
}

at::Tensor CausalConv::run_activated(const at::Tensor& x, const ChannelNorm& norm,
                                     CausalCursor& cursor) const {
  at::Tensor& cache = past_of(x, cursor);
  const at::Tensor input = at::empty({1, x.size(1), past() + x.size(2), x.size(3), x.size(4)},
                                     x.options().memory_format(x.suggest_memory_format()));
  input.narrow(2, 0, past()).copy_(cache);
  channel_norm(x, norm.gain, input.narrow(2, past(), x.size(2)), /*silu=*/true);
  return convolve(input, cache);
}

at::Tensor ChannelNorm::run(const at::Tensor& x) const {
  const at::Tensor out = at::empty_like(x, x.suggest_memory_format());
  channel_norm(x, gain, out, /*silu=*/false);
  return out;
}

at::Tensor ResidualBlock::run(const at::Tensor& x, CausalCursor& cursor) const {
  const at::Tensor y = conv2.run_activated(conv1.run_activated(x, norm1, cursor), norm2, cursor);
  return y.add_(shortcut ? pointwise(x, *shortcut) : x);
}

at::Tensor SpatialAttention::run(const at::Tensor& x) const {
  const int64_t channels = x.size(1), frames = x.size(2), h = x.size(3), w = x.size(4);
  const at::Tensor pixels = norm.run(x).squeeze(0).permute({1, 2, 3, 0}).reshape({frames, h * w, channels});
  const std::vector<at::Tensor> qkv = at::linear(pixels, qkv_weight, qkv_bias).unsqueeze(1).chunk(3, -1);
  const at::Tensor mixed = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]).squeeze(1);
  const at::Tensor out = at::linear(mixed, out_weight, out_bias);
  return out.view({frames, h, w, channels}).permute({3, 0, 1, 2}).unsqueeze(0) + x;
}

CausalConv take_causal_conv(TensorSource& source, const std::string& name) {
  CausalConv conv;
  conv.weight = in_device_order(take_any(source, name + ".weight", 5));
  conv.bias = source.take(name + ".bias", {conv.weight.size(0)});
  return conv;
}

ChannelNorm take_channel_norm(TensorSource& source, const std::string& name) {
  std::vector<int64_t> shape = source.shape(name + ".gamma");
  const at::Tensor gamma = source.take(name + ".gamma", shape).flatten();
  return {gamma * std::sqrt(static_cast<double>(gamma.size(0)))};
}

ResidualBlock take_residual_block(TensorSource& source, const std::string& name) {
  ResidualBlock block{take_channel_norm(source, name + ".residual.0"),
                      take_channel_norm(source, name + ".residual.3"),
                      take_causal_conv(source, name + ".residual.2"),
                      take_causal_conv(source, name + ".residual.6"), std::nullopt};
  if (source.has(name + ".shortcut.weight")) {
    block.shortcut = take_causal_conv(source, name + ".shortcut");
  }
  return block;
}

SpatialAttention take_spatial_attention(TensorSource& source, const std::string& name) {
  SpatialAttention attention;
  attention.norm = take_channel_norm(source, name + ".norm");
  attention.qkv_weight = take_any(source, name + ".to_qkv.weight", 4).flatten(1);
  attention.qkv_bias = source.take(name + ".to_qkv.bias", {attention.qkv_weight.size(0)});
  attention.out_weight = take_any(source, name + ".proj.weight", 4).flatten(1);
  attention.out_bias = source.take(name + ".proj.bias", {attention.out_weight.size(0)});
  return attention;
}

at::Tensor take_frame_conv(TensorSource& source, const std::string& name) {
  return in_device_order(take_any(source, name, 4).unsqueeze(2));
}

at::Tensor pointwise(const at::Tensor& x, const CausalConv& conv) {
  return convolve(x, conv.weight, conv.bias, {1, 1, 1}, /*side_padding=*/0);
}

}  // namespace latentcast
