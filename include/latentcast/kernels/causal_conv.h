#pragma once

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

namespace latentcast {

enum class ConvKind : int64_t {
  kSpaceTime,        ///< 3 x 3 x 3, padded in space; sees two earlier frames
  kTimeDoubling,     ///< 3 x 1 x 1; each frame gives two, of the first and the second half of the channels
  kPictureDoubling,  ///< every pixel becomes 2 x 2, then 1 x 3 x 3, padded
  kPoint             ///< 1 x 1 x 1
};

/// A convolution's weights in the order in which a GPU's kernel reads them.
struct PackedConv {
  ConvKind kind;
  at::Tensor weight;  ///< [phases · parts, kt, in / 32, kh, kw, 4, columns, 8]
  at::Tensor bias;    ///< [out] float32
  /// Output channels that are computed together; a norm over all of them can follow at once if these are all.
  int64_t columns() const { return weight.size(6); }
  bool takes_norm() const { return columns() == bias.size(0); }
};

/// Output channels that a kernel for such a convolution computes together on the device and in the type of
/// `like`; 0 if there is no kernel. There is for bf16 on Hopper GPUs.
int64_t conv_columns(const at::Tensor& like, ConvKind kind, int64_t in, int64_t out);

/// weight [out, in, kt, kh, kw], bias [out]; `columns` as conv_columns() says. Doubling a picture adds up
/// weights that meet the same pixel, in float32.
PackedConv pack_conv(ConvKind kind, const at::Tensor& weight, const at::Tensor& bias, int64_t columns);

struct ConvResult {
  at::Tensor sum;     ///< undefined if it isn't kept
  at::Tensor active;  ///< undefined without a norm
};

/// sum = conv(x) + bias [+ residual], rounded after each of the two additions; active = silu(sum / ‖sum‖ ·
/// gain), the length taken over the channels.
///
/// x [1, in, frames, h, w] and past [1, in, 2, h, w] (for kinds that look back), residual as the result, all
/// channels last (ChannelsLast3d), in is a multiple of 32; gain [out] float32, only where conv.takes_norm().
/// The result has the same order of memory.
ConvResult causal_conv(const PackedConv& conv, const std::optional<at::Tensor>& past, const at::Tensor& x,
                       const std::optional<at::Tensor>& residual, const std::optional<at::Tensor>& gain,
                       bool keep_sum);

/// The same with the sum written over `residual`, whose memory nobody else may use. Only for kinds other than
/// kTimeDoubling and kPictureDoubling; result.sum is `residual`.
ConvResult causal_conv_over(const PackedConv& conv, const std::optional<at::Tensor>& past,
                            const at::Tensor& x, const at::Tensor& residual,
                            const std::optional<at::Tensor>& gain);

}  // namespace latentcast
