#include "fused_decoder.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "latentcast/kernels/channel_norm.h"

namespace latentcast {
namespace {

constexpr auto kLast = at::MemoryFormat::ChannelsLast3d;
/// As many as a convolution sees of its past: then its input becomes the next one's past without a copy. It
/// also keeps the room for pictures of full size small.
constexpr int64_t kFramesAtOnce = 2;
/// A block's: so many go through in pairs from the first doubling of frames on.
constexpr int64_t kMostLatentsInPairs = 3;

/// Packs convolutions as long as all have a kernel.
class Packer {
 public:
  explicit Packer(const FusedDecoder::Columns& columns) : columns_(columns) {}

  PackedConv pack(ConvKind kind, const at::Tensor& weight, const at::Tensor& bias) {
    const int64_t columns = all_ ? columns_(kind, weight) : 0;
    if (columns == 0) {
      all_ = false;
      return {};
    }
    return pack_conv(kind, weight, bias, columns);
  }
  PackedConv pack(ConvKind kind, const CausalConv& conv) { return pack(kind, conv.weight, conv.bias); }
  bool all() const { return all_; }

 private:
  const FusedDecoder::Columns& columns_;
  bool all_ = true;
};

ChannelNorm with_float_gain(const ChannelNorm& norm) { return {norm.gain.to(at::kFloat)}; }

at::Tensor activated(const at::Tensor& x, const ChannelNorm& norm) {
  const at::Tensor out = at::empty_like(x, kLast);
  channel_norm(x, norm.gain.to(x.scalar_type()), out, /*silu=*/true);
  return out;
}

/// A convolution that looks back, and what it leaves behind: the last two frames of its input. A sum takes
/// the residual's memory.
ConvResult run_causal(const PackedConv& conv, const at::Tensor& x, CausalCursor& cursor,
                      const std::optional<at::Tensor>& residual, const std::optional<at::Tensor>& gain,
                      bool keep_sum) {
  at::Tensor& cache = cursor.next();
  const at::Tensor past = (cache.defined() ? cache : nothing_before(x, 2)).contiguous(kLast);
  ConvResult result = residual && keep_sum ? causal_conv_over(conv, past, x, *residual, gain)
                                           : causal_conv(conv, past, x, residual, gain, keep_sum);
  const int64_t frames = x.size(2);
  if (frames == 2) {
    cache = x;
  } else if (frames > 2) {
    cache = x.narrow(2, frames - 2, 2).clone(kLast);
  } else {
    cache = at::cat({past.narrow(2, 1, 1), x}, 2).contiguous(kLast);
  }
  return result;
}

}  // namespace

std::shared_ptr<const FusedDecoder> FusedDecoder::make(const DecoderParts& parts, const Columns& columns) {
  Packer packer(columns);
  FusedDecoder fused;
  const auto add_block = [&](const ResidualBlock& block) {
    Block one{with_float_gain(block.norm1),
              with_float_gain(block.norm2),
              packer.pack(ConvKind::kSpaceTime, block.conv1),
              packer.pack(ConvKind::kSpaceTime, block.conv2),
              {}};
    if (block.shortcut) {
      one.shortcut = packer.pack(ConvKind::kPoint, *block.shortcut);
    }
    fused.steps_.emplace_back(std::move(one));
  };
  add_block(parts.middle1);
  fused.steps_.emplace_back(parts.attention);
  add_block(parts.middle2);
  for (const auto& level : parts.upsamples) {
    if (const auto* block = std::get_if<ResidualBlock>(&level)) {
      add_block(*block);
      continue;
    }
    const Upsample& up = std::get<Upsample>(level);
    if (up.time) {
      fused.steps_.emplace_back(TimeDoubling{packer.pack(ConvKind::kTimeDoubling, *up.time)});
      fused.cuts_.push_back(fused.steps_.size());
    }
    fused.steps_.emplace_back(PictureDoubling{packer.pack(ConvKind::kPictureDoubling, up.weight, up.bias)});
  }
  fused.steps_.emplace_back(
      Head{with_float_gain(parts.head_norm), packer.pack(ConvKind::kSpaceTime, parts.head)});
  return packer.all() ? std::make_shared<const FusedDecoder>(std::move(fused)) : nullptr;
}

struct FusedDecoder::Pictures {
  at::Tensor all;  ///< undefined before the first
  int64_t expected = 0, done = 0;

  void add(const at::Tensor& part) {
    if (!all.defined()) {
      all = at::empty({1, part.size(1), expected, part.size(3), part.size(4)}, part.options());
    }
    all.narrow(2, done, part.size(2)).copy_(part);
    done += part.size(2);
  }
};

/// In parts of the way, each of which hands on a few frames at a time: the pictures of full size take most
/// memory. A clip in one call, the traditional way, takes all of its frames through the smaller levels at
/// once.
at::Tensor FusedDecoder::run(const at::Tensor& x, CausalCursor& cursor) const {
  std::vector<size_t> ends = cuts_;
  if (x.size(2) > kMostLatentsInPairs && ends.size() > 1) {
    ends = {ends.back()};
  }
  ends.push_back(steps_.size());
  Pictures pictures;
  pictures.expected = cursor.first() ? x.size(2) : x.size(2) << cuts_.size();
  run_part(x, 0, ends, cursor, pictures);
  return pictures.all;
}

void FusedDecoder::run_part(const at::Tensor& x, size_t begin, const std::vector<size_t>& ends,
                            CausalCursor cursor, Pictures& to) const {
  const auto end = std::upper_bound(ends.begin(), ends.end(), begin);
  const at::Tensor made = run_steps({x, {}}, begin, *end, cursor).sum;
  if (*end == steps_.size()) {
    to.add(made);
    return;
  }
  for (int64_t first = 0; first < made.size(2); first += kFramesAtOnce) {
    const int64_t count = std::min(kFramesAtOnce, made.size(2) - first);
    run_part(made.narrow(2, first, count), *end, ends, cursor, to);
  }
}

FusedDecoder::Next FusedDecoder::next_of(size_t step) const {
  if (step + 1 == steps_.size()) {
    return {};
  }
  if (const auto* block = std::get_if<Block>(&steps_[step + 1])) {
    return {&block->norm1, true};
  }
  if (const auto* head = std::get_if<Head>(&steps_[step + 1])) {
    return {&head->norm, false};
  }
  return {};
}

FusedDecoder::Flow FusedDecoder::run_steps(Flow flow, size_t begin, size_t end, CausalCursor& cursor) const {
  for (size_t i = begin; i < end; ++i) {
    flow = std::visit([&](const auto& step) { return run_step(step, flow, next_of(i), cursor); }, steps_[i]);
  }
  return flow;
}

FusedDecoder::Flow FusedDecoder::run_step(const Block& block, const Flow& in, const Next& next,
                                          CausalCursor& cursor) {
  const at::Tensor first = in.active.defined() ? in.active : activated(in.sum, block.norm1);
  const bool norms = block.conv1.takes_norm();
  const std::optional<at::Tensor> gain2 = norms ? std::optional(block.norm2.gain) : std::nullopt;
  ConvResult middle = run_causal(block.conv1, first, cursor, std::nullopt, gain2, /*keep_sum=*/!norms);
  if (!norms) {
    middle.active = activated(middle.sum, block.norm2);
    middle.sum.reset();
  }
  const at::Tensor residual =
      block.shortcut ? causal_conv(*block.shortcut, std::nullopt, in.sum, {}, {}, true).sum : in.sum;
  const bool norms_next = next.norm != nullptr && block.conv2.takes_norm();
  const std::optional<at::Tensor> gain = norms_next ? std::optional(next.norm->gain) : std::nullopt;
  ConvResult out =
      run_causal(block.conv2, middle.active, cursor, residual, gain, next.needs_sum || !norms_next);
  return {std::move(out.sum), std::move(out.active)};
}

FusedDecoder::Flow FusedDecoder::run_step(const SpatialAttention& step, const Flow& in, const Next&,
                                          CausalCursor&) {
  return {step.run(in.sum).contiguous(kLast), {}};
}

FusedDecoder::Flow FusedDecoder::run_step(const TimeDoubling& step, const Flow& in, const Next&,
                                          CausalCursor& cursor) {
  if (cursor.first()) {
    // The first frame stays one frame, and what it leaves behind is "nothing before".
    cursor.next() = nothing_before(in.sum, 2);
    return {in.sum, {}};
  }
  return {run_causal(step.conv, in.sum, cursor, {}, {}, true).sum, {}};
}

FusedDecoder::Flow FusedDecoder::run_step(const PictureDoubling& step, const Flow& in, const Next& next,
                                          CausalCursor&) {
  const bool norms = next.norm != nullptr && step.conv.takes_norm();
  const std::optional<at::Tensor> gain = norms ? std::optional(next.norm->gain) : std::nullopt;
  ConvResult out = causal_conv(step.conv, std::nullopt, in.sum, {}, gain, next.needs_sum || !norms);
  return {std::move(out.sum), std::move(out.active)};
}

FusedDecoder::Flow FusedDecoder::run_step(const Head& step, const Flow& in, const Next&,
                                          CausalCursor& cursor) {
  const at::Tensor active = in.active.defined() ? in.active : activated(in.sum, step.norm);
  return {run_causal(step.conv, active, cursor, {}, {}, true).sum, {}};
}

}  // namespace latentcast
