#pragma once

#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/tensor_source.h"
#include "latentcast/model/vae/blocks.h"

namespace latentcast {

/// The decoder of Wan2.1's causal video autoencoder (Wan team 2025).
class VaeDecoder {
 public:
  /// Takes `decoder.*` and `conv2.*`; blocks and widths follow from the names and shapes that are there.
  explicit VaeDecoder(TensorSource& source);

  /// Decodes latents [16, t, h, w] that follow those which `state` has seen: frames [3, n, 8h, 8w] in −1..1,
  /// float32. n is 4t, or 4t − 3 if the state is fresh: the very first latent stands for one frame. Pieces of
  /// any length give the same frames, to rounding.
  at::Tensor decode(const at::Tensor& latents, CausalState& state) const;

 private:
  /// Doubles height and width and, with `time`, the frames.
  struct Upsample {
    at::Tensor weight, bias;         // [out, in, 1, 3, 3]
    std::optional<CausalConv> time;  // [2 · in, in, 3, 1, 1]
    at::Tensor run(const at::Tensor& x, CausalCursor& cursor) const;
  };
  using Level = std::variant<ResidualBlock, Upsample>;

  at::Tensor run(const at::Tensor& latents, CausalState& state) const;

  CausalConv conv2_, conv1_;
  ResidualBlock middle1_, middle2_;
  SpatialAttention attention_;
  std::vector<Level> upsamples_;
  ChannelNorm head_norm_;
  CausalConv head_;
};

}  // namespace latentcast
