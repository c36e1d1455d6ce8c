#include "latentcast/model/vae/encoder.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/kernels/conv3d.h"
#include "latentcast/model/vae/latent_scale.h"

namespace latentcast {
namespace {

at::Tensor run_block(const CausalConv& conv, const at::Tensor& x, CausalCursor& cursor) {
  return conv.run(x, cursor);
}
at::Tensor run_block(const SpatialAttention& attention, const at::Tensor& x, CausalCursor&) {
  return attention.run(x);
}
template <typename Block>
at::Tensor run_block(const Block& block, const at::Tensor& x, CausalCursor& cursor) {
  return block.run(x, cursor);
}

bool equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const at::Tensor& x, const at::Tensor& y) {
    return x.defined() && y.defined() && x.sizes() == y.sizes() && at::equal(x, y);
  });
}

}  // namespace

/// A level's past, and its last input and output if that input left the past as it was.
struct VaeEncoder::LevelMemory {
  CausalState state;
  at::Tensor input, output;
};

at::Tensor VaeEncoder::Downsample::run(const at::Tensor& input, CausalCursor& cursor) const {
  // One row and one column of zeros, below and to the right only.
  at::Tensor x = at::constant_pad_nd(input, {0, 1, 0, 1});
  x = convolve(x, weight, bias, /*stride=*/{1, 2, 2}, /*side_padding=*/0);
  if (!time) {
    return x;
  }
  at::Tensor& cache = cursor.next();
  const at::Tensor last = x.narrow(2, x.size(2) - 1, 1).clone();
  if (!cursor.first()) {
    x = convolve(at::cat({cache, x}, 2), time->weight, time->bias, /*stride=*/{2, 1, 1}, /*side_padding=*/0);
  }
  cache = last;
  return x;
}

VaeEncoder::VaeEncoder(TensorSource& source)
    : head_norm_(take_channel_norm(source, "encoder.head.0")),
      head_(take_causal_conv(source, "encoder.head.2")),
      conv1_(take_causal_conv(source, "conv1")) {
  levels_.emplace_back();
  levels_.back().blocks.emplace_back(take_causal_conv(source, "encoder.conv1"));
  for (int i = 0;; ++i) {
    const std::string name = "encoder.downsamples." + std::to_string(i);
    if (source.has(name + ".residual.2.weight")) {
      levels_.back().blocks.emplace_back(take_residual_block(source, name));
    } else if (source.has(name + ".resample.1.weight")) {
      Downsample down{take_frame_conv(source, name + ".resample.1.weight"), {}, std::nullopt};
      down.bias = source.take(name + ".resample.1.bias", {down.weight.size(0)});
      if (source.has(name + ".time_conv.weight")) {
        down.time = take_causal_conv(source, name + ".time_conv");
      }
      levels_.back().blocks.emplace_back(std::move(down));
      levels_.emplace_back();
    } else {
      break;
    }
  }
  auto& last = levels_.back().blocks;
  last.emplace_back(take_residual_block(source, "encoder.middle.0"));
  last.emplace_back(take_spatial_attention(source, "encoder.middle.1"));
  last.emplace_back(take_residual_block(source, "encoder.middle.2"));
}

at::Tensor VaeEncoder::run_level(const Level& level, const at::Tensor& x, LevelMemory& memory) const {
  if (memory.input.defined() && memory.input.sizes() == x.sizes() && at::equal(memory.input, x)) {
    return memory.output;
  }
  const std::vector<at::Tensor> before = memory.state.caches;
  CausalCursor cursor(memory.state);
  at::Tensor y = x;
  for (const Block& block : level.blocks) {
    y = std::visit([&](const auto& b) { return run_block(b, y, cursor); }, block);
  }
  memory.state.started = true;
  const bool steady = equal(before, memory.state.caches);
  memory.input = steady ? x : at::Tensor();
  memory.output = steady ? y : at::Tensor();
  return y;
}

at::Tensor VaeEncoder::encode(int64_t frames, const FrameProvider& provider) const {
  if (frames < 1 || frames % kFramesPerLatent != 1) {
    throw InternalError("the autoencoder takes 1 + 4n frames, not " + std::to_string(frames));
  }
  std::vector<LevelMemory> memories(levels_.size());
  CausalState head_state;
  std::vector<at::Tensor> latents;
  for (int64_t first = 0; first < frames;) {
    const int64_t count = first == 0 ? 1 : kFramesPerLatent;
    at::Tensor x = provider(first, count).to(conv1_.weight.options()).unsqueeze(0);
    for (size_t i = 0; i < levels_.size(); ++i) {
      x = run_level(levels_[i], x, memories[i]);
    }
    CausalCursor cursor(head_state);
    x = pointwise(head_.run_activated(x, head_norm_, cursor), conv1_);
    latents.push_back(x.narrow(1, 0, kLatentChannels));  // the rest is the log variance
    first += count;
  }
  return normalise_latents(at::cat(latents, 2)).squeeze(0).to(at::kFloat);
}

}  // namespace latentcast
