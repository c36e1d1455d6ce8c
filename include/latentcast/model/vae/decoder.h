#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/tensor_source.h"
#include "latentcast/model/vae/blocks.h"

namespace latentcast {

/// Doubles height and width and, with `time`, the frames.
struct Upsample {
  at::Tensor weight, bias;         // [out, in, 1, 3, 3]
  std::optional<CausalConv> time;  // [2 · in, in, 3, 1, 1]
  at::Tensor run(const at::Tensor& x, CausalCursor& cursor) const;
};

/// The decoder's weights, in the order in which it runs them.
struct DecoderParts {
  CausalConv conv2, conv1;
  ResidualBlock middle1;
  SpatialAttention attention;
  ResidualBlock middle2;
  std::vector<std::variant<ResidualBlock, Upsample>> upsamples;
  ChannelNorm head_norm;
  CausalConv head;
};

/// Takes `decoder.*` and `conv2.*`; blocks and widths follow from the names and shapes that are there.
DecoderParts take_decoder(TensorSource& source);

class FusedDecoder;

/// The decoder of Wan2.1's causal video autoencoder (Wan team 2025).
class VaeDecoder {
 public:
  explicit VaeDecoder(TensorSource& source);

  /// Decodes latents [16, t, h, w] that follow those which `state` has seen: frames [3, n, 8h, 8w] in −1..1,
  /// float32, on the decoder's device, strides as they come. n is 4t, or 4t − 3 if the state is fresh: the
  /// very first latent stands for one frame. Pieces of any length give the same frames, to rounding.
  at::Tensor decode(const at::Tensor& latents, CausalState& state) const;

  /// Whether convolutions of our own do the work (bf16 on a Hopper GPU, widths of Wan2.1), or LibTorch's.
  bool is_fused() const { return fused_ != nullptr; }

 private:
  at::Tensor run(const at::Tensor& latents, CausalState& state) const;
  at::Tensor run_parts(at::Tensor x, CausalCursor& cursor) const;

  DecoderParts parts_;  ///< fused: only what comes before FusedDecoder's part
  std::shared_ptr<const FusedDecoder> fused_;
};

/// Numbers of a decoder's weights, the small ones of norms left out, and of its CausalState, for latents of
/// rows × columns; from the weights' shapes alone.
struct DecoderElements {
  int64_t weights = 0, state = 0;
};
DecoderElements decoder_elements(const TensorSource& source, int64_t rows, int64_t columns);

/// Elements of a decoder's CausalState, for latents of rows × columns; from the weights' shapes alone.
int64_t decoder_state_elements(const TensorSource& source, int64_t rows, int64_t columns);

}  // namespace latentcast
