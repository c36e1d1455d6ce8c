#include "latentcast/kernels/causal_conv.h"

#include <tuple>

#include "operation.h"
#include <ATen/ATen.h>
#include <torch/library.h>

#include "latentcast/kernels/channel_norm.h"

namespace latentcast {
namespace {

using Optional = std::optional<at::Tensor>;

/// Along one direction: what the three weights add up to for the two pixels that a phase sees.
at::Tensor halved(const at::Tensor& weight, int64_t dim, int64_t phase) {
  const auto at = [&](int64_t i) { return weight.narrow(dim, i, 1); };
  return phase == 0 ? at::cat({at(0), at(1) + at(2)}, dim) : at::cat({at(0) + at(1), at(2)}, dim);
}

/// [out, in, kt, kh, kw] -> [parts, kt, in / 32, kh, kw, 4, columns, 8]; outputs that are missing are zeros.
at::Tensor pack_one(const at::Tensor& weight, int64_t columns) {
  const int64_t out = weight.size(0), in = weight.size(1), parts = (out + columns - 1) / columns;
  const at::Tensor full = at::constant_pad_nd(weight, {0, 0, 0, 0, 0, 0, 0, 0, 0, parts * columns - out});
  return full.reshape({parts, columns, in / 32, 4, 8, weight.size(2), weight.size(3), weight.size(4)})
      .permute({0, 5, 2, 6, 7, 3, 1, 4})
      .contiguous();
}

/// Undoes pack_one().
at::Tensor unpack_one(const at::Tensor& packed, int64_t out) {
  const int64_t parts = packed.size(0), columns = packed.size(6), in = packed.size(2) * 32;
  return packed.permute({0, 6, 2, 5, 7, 1, 3, 4})
      .reshape({parts * columns, in, packed.size(1), packed.size(3), packed.size(4)})
      .narrow(0, 0, out);
}

at::Tensor convolve_phases(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t out = bias.size(0), parts = weight.size(0) / 4;
  const at::Tensor y = at::empty({1, out, x.size(2), 2 * x.size(3), 2 * x.size(4)},
                                 x.options().memory_format(at::MemoryFormat::ChannelsLast3d));
  for (int64_t phase = 0; phase < 4; ++phase) {
    const int64_t down = phase / 2, right = phase % 2;
    const at::Tensor w = unpack_one(weight.narrow(0, phase * parts, parts), out);
    const at::Tensor padded = at::constant_pad_nd(x, {1 - right, right, 1 - down, down});
    y.slice(3, down, c10::nullopt, 2).slice(4, right, c10::nullopt, 2).copy_(at::conv3d(padded, w, bias));
  }
  return y;
}

at::Tensor convolve_plain(const Optional& past, const at::Tensor& x, const at::Tensor& weight,
                          const at::Tensor& bias, ConvKind kind) {
  const at::Tensor seen = past ? at::cat({*past, x}, 2) : x;
  const at::Tensor w = unpack_one(weight, bias.size(0));
  const int64_t side = w.size(3) / 2, channels = bias.size(0) / 2;
  const at::Tensor y = at::conv3d(seen, w, bias, 1, at::IntArrayRef({0, side, side}));
  if (kind != ConvKind::kTimeDoubling) {
    return y;
  }
  const int64_t frames = x.size(2), h = x.size(3), w_ = x.size(4);
  return y.view({1, 2, channels, frames, h, w_})
      .permute({0, 2, 3, 1, 4, 5})
      .reshape({1, channels, 2 * frames, h, w_});
}

std::tuple<at::Tensor, at::Tensor> causal_conv_cpu(const at::Tensor& x, const Optional& past,
                                                   const at::Tensor& weight, const at::Tensor& bias,
                                                   const Optional& residual, const Optional& gain,
                                                   int64_t kind, bool keep_sum) {
  const auto of_kind = static_cast<ConvKind>(kind);
  const at::Tensor typed = bias.to(x.scalar_type());
  at::Tensor sum = of_kind == ConvKind::kPictureDoubling ? convolve_phases(x, weight, typed)
                                                         : convolve_plain(past, x, weight, typed, of_kind);
  if (residual) {
    sum = sum + *residual;
  }
  sum = sum.contiguous(at::MemoryFormat::ChannelsLast3d);
  at::Tensor active;
  if (gain) {
    active = at::empty_like(sum);
    channel_norm(sum, *gain, active, /*silu=*/true);
  }
  return {keep_sum ? sum : at::Tensor(), active};
}

at::Tensor causal_conv_over_cpu(const at::Tensor& x, const Optional& past, const at::Tensor& weight,
                                const at::Tensor& bias, at::Tensor residual, const Optional& gain,
                                int64_t kind) {
  const auto [sum, active] = causal_conv_cpu(x, past, weight, bias, residual, gain, kind, /*keep_sum=*/true);
  residual.copy_(sum);
  return active;
}

int64_t conv_columns_cpu(const at::Tensor&, int64_t, int64_t, int64_t) { return 0; }

}  // namespace

int64_t conv_columns(const at::Tensor& like, ConvKind kind, int64_t in, int64_t out) {
  static const auto run =
      operation<int64_t(const at::Tensor&, int64_t, int64_t, int64_t)>("latentcast::conv_columns");
  return run.call(like, static_cast<int64_t>(kind), in, out);
}

PackedConv pack_conv(ConvKind kind, const at::Tensor& weight, const at::Tensor& bias, int64_t columns) {
  PackedConv packed{kind, {}, bias.to(at::kFloat).contiguous()};
  if (kind != ConvKind::kPictureDoubling) {
    packed.weight = pack_one(weight, columns);
    return packed;
  }
  const at::Tensor wide = weight.to(at::kFloat);
  std::vector<at::Tensor> phases;
  for (int64_t phase = 0; phase < 4; ++phase) {
    const at::Tensor one = halved(halved(wide, 3, phase / 2), 4, phase % 2);
    phases.push_back(pack_one(one.to(weight.scalar_type()), columns));
  }
  packed.weight = at::cat(phases, 0);
  return packed;
}

ConvResult causal_conv(const PackedConv& conv, const Optional& past, const at::Tensor& x,
                       const Optional& residual, const Optional& gain, bool keep_sum) {
  static const auto run = operation<std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const Optional&, const at::Tensor&, const at::Tensor&, const Optional&,
      const Optional&, int64_t, bool)>("latentcast::causal_conv");
  auto [sum, active] =
      run.call(x, past, conv.weight, conv.bias, residual, gain, static_cast<int64_t>(conv.kind), keep_sum);
  return {std::move(sum), std::move(active)};
}

ConvResult causal_conv_over(const PackedConv& conv, const Optional& past, const at::Tensor& x,
                            const at::Tensor& residual, const Optional& gain) {
  static const auto run =
      operation<at::Tensor(const at::Tensor&, const Optional&, const at::Tensor&, const at::Tensor&,
                           at::Tensor, const Optional&, int64_t)>("latentcast::causal_conv_over");
  at::Tensor active =
      run.call(x, past, conv.weight, conv.bias, residual, gain, static_cast<int64_t>(conv.kind));
  return {residual, std::move(active)};
}

TORCH_LIBRARY_FRAGMENT(latentcast, library) {
  library.def("conv_columns(Tensor like, int kind, int inputs, int outputs) -> int");
  library.def(
      "causal_conv(Tensor x, Tensor? past, Tensor weight, Tensor bias, Tensor? residual, Tensor? gain, int "
      "kind, "
      "bool keep_sum) -> (Tensor, Tensor)");
  library.def(
      "causal_conv_over(Tensor x, Tensor? past, Tensor weight, Tensor bias, Tensor(a!) residual, Tensor? "
      "gain, int kind) -> Tensor");
}

TORCH_LIBRARY_IMPL(latentcast, CPU, library) {
  library.impl("conv_columns", &conv_columns_cpu);
  library.impl("causal_conv", &causal_conv_cpu);
  library.impl("causal_conv_over", &causal_conv_over_cpu);
}

/// Weights without data, by which a checkpoint's files are checked.
TORCH_LIBRARY_IMPL(latentcast, Meta, library) { library.impl("conv_columns", &conv_columns_cpu); }

}  // namespace latentcast
