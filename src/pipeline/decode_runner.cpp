#include "latentcast/pipeline/decode_runner.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

#include "latentcast/kernels/yuv420p.h"
#include "latentcast/pipeline/stage.h"
#include "latentcast/pipeline/timeline.h"

namespace latentcast {

DecodeRunner::DecodeRunner(DecodeStage decoder, FrameTaker& video, const ScheduleShape& shape, Trace& trace,
                           BlockSink sink, Activity& activity)
    : decoder_(std::move(decoder)),
      video_(video),
      shape_(shape),
      trace_(trace),
      activity_(activity),
      sink_(std::move(sink)),
      clip_(shape.first_clip),
      decoded_(shape.first_clip * shape.blocks_per_clip * kBlockFrames) {}

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

void DecodeRunner::take(const at::Tensor& latents, bool another_waits) {
  const int64_t number = clip_ * shape_.blocks_per_clip + block_;
  activity_.begin("decoding block " + std::to_string(number));
  if (is_shown() && trace_.keeps_block(number)) {
    trace_.add("block" + std::to_string(number) + ".latents", latents);
  }
  const bool last = is_last_of_clip();
  std::optional<FramesToHost> frames;
  decoder_.take(latents, last, [&](const at::Tensor& decoded) {
    if (is_shown()) {
      if (trace_.active()) {
        trace_frames(to_rgb24(decoded).to(at::kCPU));
      }
      frames.emplace(to_yuv420p(decoded));
    }
    decoded_ += decoded.size(1);
  });
  ++block_;
  write_behind();  // the block before, while the device decodes this one
  behind_.push_back(std::move(frames));
  if (last || !another_waits) {
    write_behind();
  }
  if (last) {
    close_clip();
  }
}

void DecodeRunner::write_behind() {
  while (!behind_.empty()) {
    if (behind_.front()) {
      const at::Tensor frames = behind_.front()->wait();
      activity_.part("writing its frames");
      video_.take(frames);
    }
    behind_.pop_front();
    if (is_shown()) {
      sink_(clip_, false);
    }
  }
}

void DecodeRunner::close_clip() {
  if (is_shown()) {
    activity_.begin("closing segment " + std::to_string(clip_));
    video_.end_clip();
    sink_(clip_, true);
  }
  ++clip_;
  block_ = 0;
}

void DecodeRunner::receive_all(Communicator& pipeline, int from, const at::Tensor& like,
                               const CutAfter& cut_after, const AtCut& at_cut,
                               const std::function<void()>& each_block) {
  at::Tensor next;
  std::unique_ptr<Transfer> transfer;
  const auto ask_for_next = [&] {
    next = at::empty_like(like);
    transfer = pipeline.launch_receive(next, from);
  };
  ask_for_next();
  while (transfer) {
    std::exchange(transfer, nullptr)->finish();
    const at::Tensor latents = next;
    const bool ends_clip = is_last_of_clip(), ends = ends_clip && clip_ + 1 == shape_.clips;
    // Nothing may be under way at a cut.
    const bool cut = ends_clip && !ends && cut_after && cut_after(clip_);
    if (!ends && !cut) {
      ask_for_next();
    }
    take(latents, transfer && transfer->test());
    if (each_block) {
      each_block();
    }
    if (cut && at_cut(clip_)) {
      ask_for_next();
    }
  }
}

}  // namespace latentcast
