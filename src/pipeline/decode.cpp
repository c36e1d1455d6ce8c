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
  decode(past_.narrow(1, 0, 1));
  for (int64_t begin = 1; begin < kWarmUpLatents; begin += kPieceLatents) {
    decode(past_.narrow(1, begin, kPieceLatents));
  }
  past_.reset();
}

at::Tensor DecodeStage::decode(const at::Tensor& latents) {
  if (!kept_for_) return decoder_->decode(latents, state_);
  bring_state();
  at::Tensor frames = decoder_->decode(latents, state_);
  put_state_away();
  return frames;
}

void DecodeStage::keep_state_on_host(const ComputeDevice& device) { kept_for_ = device; }

void DecodeStage::bring_state() {
  for (at::Tensor& cache : state_.caches) {
    if (cache.defined() && cache.device() != kept_for_->device) {
      cache = at::empty_like(cache, cache.options().device(kept_for_->device))
                  .copy_(cache, /*non_blocking=*/true);
    }
  }
}

/// In each cache's own order of memory: nothing is turned on the way.
void DecodeStage::put_state_away() {
  host_.resize(state_.caches.size());
  for (size_t i = 0; i < host_.size(); ++i) {
    at::Tensor& cache = state_.caches[i];
    if (!cache.defined()) continue;
    at::Tensor& host = host_[i];
    if (!host.defined() || host.sizes() != cache.sizes() || host.strides() != cache.strides()) {
      host = at::empty_strided(cache.sizes(), cache.strides(),
                               cache.options().device(at::kCPU).pinned_memory(kept_for_->is_cuda()));
    }
    cache = host.copy_(cache, /*non_blocking=*/true);
  }
}

const CausalState& DecodeStage::state() const {
  if (kept_for_) synchronize(*kept_for_);
  return state_;
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
    sink(decode(latents));
    return;
  }
  waiting_.push_back(latents);
  if (last_of_clip) {
    const at::Tensor clip = at::cat(waiting_, 1);
    waiting_.clear();
    sink(decode(clip));
  }
}

}  // namespace latentcast
