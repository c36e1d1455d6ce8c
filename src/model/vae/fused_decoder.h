#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/kernels/causal_conv.h"
#include "latentcast/model/vae/decoder.h"

namespace latentcast {

/// The decoder by causal_conv(): nothing is put together, doubled or normalised in a pass of its own where a
/// convolution's kernel can do it. Its state is VaeDecoder's, channels last.
class FusedDecoder {
 public:
  /// Columns of a convolution's kernel, as conv_columns().
  using Columns = std::function<int64_t(ConvKind kind, const at::Tensor& weight)>;

  /// Nothing if a convolution has no kernel.
  static std::shared_ptr<const FusedDecoder> make(const DecoderParts& parts, const Columns& columns);

  /// What comes after the decoder's first convolution (`x`, channels last, written over): frames
  /// [1, 3, n, 8h, 8w]. `cursor` stands behind that convolution's past.
  at::Tensor run(const at::Tensor& x, CausalCursor& cursor) const;

 private:
  /// Frames on their way: themselves, and normalised and activated for what comes next, if that was done
  /// already.
  struct Flow {
    at::Tensor sum, active;
  };
  struct Block {
    ChannelNorm norm1, norm2;
    PackedConv conv1, conv2;
    std::optional<PackedConv> shortcut;
  };
  struct TimeDoubling {
    PackedConv conv;
  };
  struct PictureDoubling {
    PackedConv conv;
  };
  struct Head {
    ChannelNorm norm;
    PackedConv conv;
  };
  using Step = std::variant<Block, SpatialAttention, TimeDoubling, PictureDoubling, Head>;
  /// What follows a step.
  struct Next {
    const ChannelNorm* norm = nullptr;  ///< that it begins with, SiLU and convolution behind it
    bool needs_sum = true;
  };

  Next next_of(size_t step) const;
  Flow run_steps(Flow flow, size_t begin, size_t end, CausalCursor& cursor) const;
  static Flow run_step(const Block& block, const Flow& in, const Next& next, CausalCursor& cursor);
  static Flow run_step(const SpatialAttention& step, const Flow& in, const Next& next, CausalCursor& cursor);
  static Flow run_step(const TimeDoubling& step, const Flow& in, const Next& next, CausalCursor& cursor);
  static Flow run_step(const PictureDoubling& step, const Flow& in, const Next& next, CausalCursor& cursor);
  static Flow run_step(const Head& step, const Flow& in, const Next& next, CausalCursor& cursor);

  /// Frames on their way to the pictures that they become.
  struct Pictures;
  void run_part(const at::Tensor& x, size_t begin, const std::vector<size_t>& ends, CausalCursor cursor,
                Pictures& to) const;

  std::vector<Step> steps_;
  std::vector<size_t>
      cuts_;  ///< steps that double frames end here; behind them two frames at a time go through
};

}  // namespace latentcast
