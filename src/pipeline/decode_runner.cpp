#include "latentcast/pipeline/decode_runner.h"

#include <algorithm>

#include <ATen/ATen.h>

namespace latentcast {

DecodeRunner::DecodeRunner(DecodeStage decoder, VideoAssembler& video, const ScheduleShape& shape,
                           Trace& trace, BlockSink sink)
    : decoder_(std::move(decoder)), video_(video), shape_(shape), trace_(trace), sink_(std::move(sink)) {}

int64_t DecodeRunner::blocks_of(int64_t clip) const {
  return clip + 1 == shape_.clips ? shape_.blocks_in_last_clip : shape_.blocks_per_clip;
}

/// The public numbering of frames starts after the dropped ones.
void DecodeRunner::trace_frames(const at::Tensor& frames) {
  const int64_t skip = std::clamp<int64_t>(kDroppedFrames - decoded_, 0, frames.size(0));
  const at::Tensor kept = frames.narrow(0, skip, frames.size(0) - skip);
  const int64_t first = decoded_ + skip - kDroppedFrames;
  trace_.append("frames", kept);
  trace_.append("frame_index", at::arange(first, first + kept.size(0), at::kLong));
  trace_.append("frame_mean", kept.to(at::kFloat).mean(at::IntArrayRef({1, 2})));
}

void DecodeRunner::take(const at::Tensor& latents) {
  const int64_t number = clip_ * shape_.blocks_per_clip + block_;
  if (trace_.keeps_block(number)) {
    trace_.add("block" + std::to_string(number) + ".latents", latents);
  }
  const bool last = block_ + 1 == blocks_of(clip_);
  decoder_.take(latents, last, [this](const at::Tensor& frames) {
    if (trace_.active()) {
      trace_frames(frames);
    }
    decoded_ += frames.size(0);
    video_.take(frames);
  });
  sink_(clip_, false);
  ++block_;
  if (last) {
    video_.end_clip();
    sink_(clip_, true);
    ++clip_;
    block_ = 0;
  }
}

void DecodeRunner::receive_all(Communicator& pipeline, int from, const at::Tensor& like) {
  const int64_t blocks = (shape_.clips - 1) * shape_.blocks_per_clip + shape_.blocks_in_last_clip;
  at::Tensor next = at::empty_like(like);
  std::unique_ptr<Transfer> transfer = pipeline.launch_receive(next, from);
  for (int64_t i = 0; i < blocks; ++i) {
    transfer->finish();
    const at::Tensor latents = next;
    if (i + 1 < blocks) {
      next = at::empty_like(like);
      transfer = pipeline.launch_receive(next, from);
    }
    take(latents);
  }
}

}  // namespace latentcast
