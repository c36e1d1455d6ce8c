#include "latentcast/model/vae/decoder.h"

#include <ATen/ATen.h>

#include "latentcast/kernels/conv3d.h"
#include "latentcast/model/vae/latent_scale.h"

namespace latentcast {

at::Tensor VaeDecoder::Upsample::run(const at::Tensor& input, CausalCursor& cursor) const {
  at::Tensor x = input;
  if (time) {
    if (cursor.first()) {
      // The first frame stays one frame, and what it leaves behind is "nothing before".
      cursor.next() = at::zeros({1, x.size(1), time->weight.size(2) - 1, x.size(3), x.size(4)}, x.options());
    } else {
      const int64_t channels = x.size(1), frames = x.size(2), h = x.size(3), w = x.size(4);
      x = time->run(x, cursor).view({1, 2, channels, frames, h, w});
      x = x.permute({0, 2, 3, 1, 4, 5}).reshape({1, channels, 2 * frames, h, w});
    }
  }
  const int64_t channels = x.size(1), frames = x.size(2), h = x.size(3), w = x.size(4);
  x = x.view({channels, frames, h, 1, w, 1}).expand({channels, frames, h, 2, w, 2});
  x = x.reshape({1, channels, frames, 2 * h, 2 * w});
  return convolve(x, weight, bias, /*stride=*/{1, 1, 1}, /*side_padding=*/1);
}

VaeDecoder::VaeDecoder(TensorSource& source)
    : conv2_(take_causal_conv(source, "conv2")),
      conv1_(take_causal_conv(source, "decoder.conv1")),
      middle1_(take_residual_block(source, "decoder.middle.0")),
      middle2_(take_residual_block(source, "decoder.middle.2")),
      attention_(take_spatial_attention(source, "decoder.middle.1")),
      head_norm_(take_channel_norm(source, "decoder.head.0")),
      head_(take_causal_conv(source, "decoder.head.2")) {
  for (int i = 0;; ++i) {
    const std::string name = "decoder.upsamples." + std::to_string(i);
    if (source.has(name + ".residual.2.weight")) {
      upsamples_.emplace_back(take_residual_block(source, name));
    } else if (source.has(name + ".resample.1.weight")) {
      Upsample up{take_frame_conv(source, name + ".resample.1.weight"), {}, std::nullopt};
      up.bias = source.take(name + ".resample.1.bias", {up.weight.size(0)});
      if (source.has(name + ".time_conv.weight")) {
        up.time = take_causal_conv(source, name + ".time_conv");
      }
      upsamples_.emplace_back(std::move(up));
    } else {
      return;
    }
  }
}

at::Tensor VaeDecoder::run(const at::Tensor& latents, CausalState& state) const {
  CausalCursor cursor(state);
  at::Tensor x = conv1_.run(pointwise(latents, conv2_), cursor);
  x = middle1_.run(x, cursor);
  x = attention_.run(x);
  x = middle2_.run(x, cursor);
  for (const Level& level : upsamples_) {
    x = std::visit([&](const auto& block) { return block.run(x, cursor); }, level);
  }
  x = head_.run_activated(x, head_norm_, cursor);
  state.started = true;
  return x;
}

at::Tensor VaeDecoder::decode(const at::Tensor& latents, CausalState& state) const {
  const at::Tensor z = denormalise_latents(latents.unsqueeze(0).to(conv2_.weight.options()));
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
