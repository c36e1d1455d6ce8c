#pragma once

#include <functional>
#include <optional>
#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/tensor_source.h"
#include "latentcast/model/vae/blocks.h"

namespace latentcast {

/// Frames `first` … `first + count − 1` as [3, count, H, W] in −1..1, on the CPU or the encoder's device.
using FrameProvider = std::function<at::Tensor(int64_t first, int64_t count)>;

/// The encoder of Wan2.1's causal video autoencoder (Wan team 2025).
class VaeEncoder {
 public:
  /// Takes `encoder.*` and `conv1.*`.
  explicit VaeEncoder(TensorSource& source);

  /// Encodes 1 + 4n frames, H and W multiples of 8, into latents [16, 1 + n, H/8, W/8], float32. Frames are
  /// asked for in the order 1, 4, 4, …; only one piece is held at a time. Where a still picture repeats, work
  /// whose outcome is already known (same input, same past) is not done again.
  at::Tensor encode(int64_t frames, const FrameProvider& provider) const;

 private:
  /// Halves height and width and, with `time`, the frames.
  struct Downsample {
    at::Tensor weight, bias;         // [out, in, 1, 3, 3]
    std::optional<CausalConv> time;  // [out, out, 3, 1, 1], stride 2
    at::Tensor run(const at::Tensor& x, CausalCursor& cursor) const;
  };
  using Block = std::variant<CausalConv, ResidualBlock, SpatialAttention, Downsample>;
  /// Blocks of one resolution, and what they gave last: see encode().
  struct Level {
    std::vector<Block> blocks;
  };
  struct LevelMemory;

  at::Tensor run_level(const Level& level, const at::Tensor& x, LevelMemory& memory) const;

  std::vector<Level> levels_;
  ChannelNorm head_norm_;
  CausalConv head_, conv1_;
};

}  // namespace latentcast
