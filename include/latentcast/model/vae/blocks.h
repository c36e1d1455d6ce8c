#pragma once

#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/tensor_source.h"

namespace latentcast {

/// What the past left behind for a causal network: for each convolution in time the last frames of its input,
/// [1, channels, 1 or 2, h, w], in the order in which the network runs them. Zeros stand for "before the
/// first frame". In any order of memory: that of the device's convolutions, or as saved. Owned by the render,
/// not by the network, so that it can be saved and several streams can share one network.
struct CausalState {
  std::vector<at::Tensor> caches;  ///< undefined = nothing seen yet
  bool started = false;  ///< the first frame has passed (it takes another way through the time resamplers)
};

/// Walks through a CausalState in the order of the convolutions.
class CausalCursor {
 public:
  explicit CausalCursor(CausalState& state, size_t begin = 0) : state_(state), next_(begin) {}
  at::Tensor& next();
  bool first() const { return !state_.started; }
  size_t position() const { return next_; }

 private:
  CausalState& state_;
  size_t next_;
};

/// So many frames of zeros like those of `like`, in its order of memory.
at::Tensor nothing_before(const at::Tensor& like, int64_t frames);

/// x / ‖x‖ · √channels · gain over the channels.
struct ChannelNorm {
  at::Tensor gain;  ///< [channels], times √channels
  at::Tensor run(const at::Tensor& x) const;
};

/// A 3D convolution that sees only the past in time. All tensors are [1, channels, frames, h, w].
struct CausalConv {
  at::Tensor weight, bias;

  at::Tensor run(const at::Tensor& x, CausalCursor& cursor) const;
  /// run() on silu(norm(x)), which is written straight behind the past.
  at::Tensor run_activated(const at::Tensor& x, const ChannelNorm& norm, CausalCursor& cursor) const;

 private:
  at::Tensor& past_of(const at::Tensor& like, CausalCursor& cursor) const;
  /// `input` starts with the past; its own last frames become the next one's.
  at::Tensor convolve(const at::Tensor& input, at::Tensor& cache) const;
  int64_t past() const { return weight.size(2) - 1; }
};

/// Norm, SiLU, convolution, twice, plus a shortcut.
struct ResidualBlock {
  ChannelNorm norm1, norm2;
  CausalConv conv1, conv2;
  std::optional<CausalConv> shortcut;  ///< kernel 1: has no past
  at::Tensor run(const at::Tensor& x, CausalCursor& cursor) const;
};

/// Self-attention with one head over the pixels of each frame.
struct SpatialAttention {
  ChannelNorm norm;
  at::Tensor qkv_weight, qkv_bias, out_weight, out_bias;
  at::Tensor run(const at::Tensor& x) const;
};

/// Weights of the pieces by their names in Wan2.1_VAE.pth; widths come from the shapes.
CausalConv take_causal_conv(TensorSource& source, const std::string& name);
ChannelNorm take_channel_norm(TensorSource& source, const std::string& name);
ResidualBlock take_residual_block(TensorSource& source, const std::string& name);
SpatialAttention take_spatial_attention(TensorSource& source, const std::string& name);
/// A 2D convolution's weight [out, in, kh, kw] as [out, in, 1, kh, kw].
at::Tensor take_frame_conv(TensorSource& source, const std::string& name);

/// A kernel of size 1 in time and space, without state.
at::Tensor pointwise(const at::Tensor& x, const CausalConv& conv);

}  // namespace latentcast
