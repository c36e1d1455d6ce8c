#include "latentcast/model/vae/decoder.h"

#include <algorithm>

#include "fused_decoder.h"
#include <ATen/ATen.h>

#include "latentcast/kernels/conv3d.h"
#include "latentcast/model/vae/latent_scale.h"

namespace latentcast {
namespace {

/// Frames of the last level at once on a GPU: enough to fill it, and little enough to bound its memory.
constexpr int64_t kFramesAtOnce = 4;

/// Every pixel four times.
at::Tensor doubled(const at::Tensor& x) {
  const int64_t channels = x.size(1), frames = x.size(2), h = x.size(3), w = x.size(4);
  if (x.is_cuda()) {
    const at::Tensor pictures = x.squeeze(0).transpose(0, 1);
    return at::upsample_nearest2d(pictures, {2 * h, 2 * w}).transpose(0, 1).unsqueeze(0);
  }
  const at::Tensor wide = x.view({channels, frames, h, 1, w, 1}).expand({channels, frames, h, 2, w, 2});
  return wide.reshape({1, channels, frames, 2 * h, 2 * w});
}

}  // namespace

at::Tensor Upsample::run(const at::Tensor& input, CausalCursor& cursor) const {
  at::Tensor x = input;
  if (time) {
    if (cursor.first()) {
      // The first frame stays one frame, and what it leaves behind is "nothing before".
      cursor.next() = nothing_before(x, time->weight.size(2) - 1);
    } else {
      const int64_t channels = x.size(1), frames = x.size(2), h = x.size(3), w = x.size(4);
      const at::Tensor halves = time->run(x, cursor).view({1, 2, channels, frames, h, w});
      x = at::empty({1, channels, 2 * frames, h, w}, x.options().memory_format(x.suggest_memory_format()));
      x.view({1, channels, frames, 2, h, w}).copy_(halves.permute({0, 2, 3, 1, 4, 5}));
    }
  }
  return convolve(doubled(x), weight, bias, /*stride=*/{1, 1, 1}, /*side_padding=*/1);
}

DecoderParts take_decoder(TensorSource& source) {
  DecoderParts parts{take_causal_conv(source, "conv2"),
                     take_causal_conv(source, "decoder.conv1"),
                     take_residual_block(source, "decoder.middle.0"),
                     take_spatial_attention(source, "decoder.middle.1"),
                     take_residual_block(source, "decoder.middle.2"),
                     {},
                     take_channel_norm(source, "decoder.head.0"),
                     take_causal_conv(source, "decoder.head.2")};
  for (int i = 0;; ++i) {
    const std::string name = "decoder.upsamples." + std::to_string(i);
    if (source.has(name + ".residual.2.weight")) {
      parts.upsamples.emplace_back(take_residual_block(source, name));
    } else if (source.has(name + ".resample.1.weight")) {
      Upsample up{take_frame_conv(source, name + ".resample.1.weight"), {}, std::nullopt};
      up.bias = source.take(name + ".resample.1.bias", {up.weight.size(0)});
      if (source.has(name + ".time_conv.weight")) {
        up.time = take_causal_conv(source, name + ".time_conv");
      }
      parts.upsamples.emplace_back(std::move(up));
    } else {
      return parts;
    }
  }
}

VaeDecoder::VaeDecoder(TensorSource& source) : parts_(take_decoder(source)) {
  fused_ = FusedDecoder::make(parts_, [](ConvKind kind, const at::Tensor& weight) {
    return conv_columns(weight, kind, weight.size(1), weight.size(0));
  });
  if (fused_) {
    parts_ = {std::move(parts_.conv2), std::move(parts_.conv1), {}, {}, {}, {}, {}, {}};
  }
}

at::Tensor VaeDecoder::run(const at::Tensor& latents, CausalState& state) const {
  CausalCursor cursor(state);
  const at::Tensor x = parts_.conv1.run(pointwise(latents, parts_.conv2), cursor);
  const at::Tensor frames = fused_ ? fused_->run(x, cursor) : run_parts(x, cursor);
  state.started = true;
  return frames;
}

at::Tensor VaeDecoder::run_parts(at::Tensor x, CausalCursor& cursor) const {
  x = parts_.middle1.run(x, cursor);
  x = parts_.attention.run(x);
  x = parts_.middle2.run(x, cursor);
  const auto& levels = parts_.upsamples;
  const auto run_levels = [&](at::Tensor y, size_t begin, size_t end, CausalCursor& at) {
    for (size_t i = begin; i < end; ++i) {
      y = std::visit([&](const auto& level) { return level.run(y, at); }, levels[i]);
    }
    return y;
  };
  // The pictures of full size, from the last doubling on, take most memory: a GPU gets a few at a time.
  size_t whole = levels.size();
  while (x.is_cuda() && whole > 0 && !std::holds_alternative<Upsample>(levels[whole - 1])) {
    --whole;
  }
  const bool pieces = x.is_cuda() && whole > 0 && !std::get<Upsample>(levels[whole - 1]).time;
  whole = pieces ? whole - 1 : levels.size();
  x = run_levels(x, 0, whole, cursor);
  const int64_t at_once = pieces ? kFramesAtOnce : x.size(2);
  std::vector<at::Tensor> frames;
  for (int64_t begin = 0; begin < x.size(2); begin += at_once) {
    CausalCursor again = cursor;
    const at::Tensor part = x.narrow(2, begin, std::min(at_once, x.size(2) - begin));
    const at::Tensor y = run_levels(part, whole, levels.size(), again);
    frames.push_back(parts_.head.run_activated(y, parts_.head_norm, again));
  }
  return frames.size() == 1 ? frames.front() : at::cat(frames, 2);
}

at::Tensor VaeDecoder::decode(const at::Tensor& latents, CausalState& state) const {
  at::Tensor z = denormalise_latents(latents.unsqueeze(0).to(parts_.conv2.weight.options()));
  z = z.contiguous(parts_.conv1.weight.suggest_memory_format());
  at::Tensor frames;
  if (state.started) {
    frames = run(z, state);
  } else {
    frames = run(z.narrow(2, 0, 1), state);
    if (z.size(2) > 1) {
      frames = at::cat({frames, run(z.narrow(2, 1, z.size(2) - 1), state)}, 2);
    }
  }
  return frames.squeeze(0).to(at::kFloat).clamp_(-1, 1);
}

}  // namespace latentcast
