#include "latentcast/pipeline/decode.h"

#include <ATen/ATen.h>

namespace latentcast {
namespace {

constexpr int64_t kWarmUpLatents = 7;
constexpr int64_t kPieceLatents = 3;

}  // namespace

DecodeStage::DecodeStage(std::shared_ptr<const VaeDecoder> decoder, DecodeMode mode, const at::Tensor& motion,
                         Trace& trace)
    : decoder_(std::move(decoder)), mode_(mode), past_(motion.narrow(1, 0, kWarmUpLatents)) {
  trace.add("decode_warmup.latents", past_);
}

/// In pieces as long as a block, so that this takes no more memory than a block does.
void DecodeStage::warm_up() {
  decoder_->decode(past_.narrow(1, 0, 1), state_);
  for (int64_t begin = 1; begin < kWarmUpLatents; begin += kPieceLatents) {
    decoder_->decode(past_.narrow(1, begin, kPieceLatents), state_);
  }
  past_.reset();
}

void DecodeStage::restore(CausalState state) {
  state_ = std::move(state);
  past_.reset();
}

void DecodeStage::take(const at::Tensor& latents, bool last_of_clip, const FrameSink& sink) {
  if (past_.defined()) {
    warm_up();
  }
  if (mode_ == DecodeMode::kOnline) {
    sink(decoder_->decode(latents, state_));
    return;
  }
  waiting_.push_back(latents);
  if (last_of_clip) {
    const at::Tensor clip = at::cat(waiting_, 1);
    waiting_.clear();
    sink(decoder_->decode(clip, state_));
  }
}

}  // namespace latentcast
