#include "rank_restore.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "rank_saver.h"
#include <ATen/ATen.h>

namespace latentcast {

void restore_caches(const CheckpointReader& checkpoint, DenoiseStage& stage) {
  at::Tensor host;  // one for all that are alike: pages that are new to the process take longer than the copy
  for (const CachedRows& cached : stage.caches_after_clip()) {
    const at::Tensor& first = cached.parts.front();
    std::vector<int64_t> sizes = first.sizes().vec();
    sizes.front() *= std::ssize(cached.parts);
    if (!host.defined() || host.sizes() != at::IntArrayRef(sizes) ||
        host.scalar_type() != first.scalar_type()) {
      host = at::empty(sizes, at::TensorOptions().dtype(first.scalar_type()));
    }
    checkpoint.read_into(checkpoint.holding(cached.timestep, cached.layer), cache_name(cached), host);
    for (size_t i = 0; i < cached.parts.size(); ++i) {
      cached.parts[i].copy_(host.narrow(0, static_cast<int64_t>(i) * first.size(0), first.size(0)));
    }
  }
  stage.restored();
}

void restore_decoder(const CheckpointReader& checkpoint, DecodeStage& decoder, const ComputeDevice& device) {
  const CheckpointPart part = CheckpointPart::decoder();
  const std::vector<std::string> names = checkpoint.names(part);
  CausalState state;
  state.started = true;
  state.caches.resize(static_cast<size_t>(checkpoint.number(part, "caches")));
  for (size_t i = 0; i < state.caches.size(); ++i) {
    if (std::find(names.begin(), names.end(), causal_name(i)) != names.end()) {
      state.caches[i] = checkpoint.read(part, causal_name(i)).to(device.device);
    }
  }
  decoder.restore(std::move(state));
}

Replay read_replay(const CheckpointReader& checkpoint, const DenoiseStage& stage,
                   const ComputeDevice& device) {
  Replay replay;
  const CheckpointManifest& manifest = checkpoint.manifest();
  const int64_t blocks = stage.shape().blocks_per_clip;
  const Range& timesteps = stage.plan().timesteps;
  for (int64_t t = timesteps.begin; t < timesteps.end; ++t) {
    const CheckpointPart part = CheckpointPart::latents_after(t);
    for (int64_t block = manifest.replay_from * blocks; block < manifest.position * blocks; ++block) {
      replay.add({t, block, checkpoint.read(part, block_name(block)).to(device.device)});
    }
  }
  return replay;
}

}  // namespace latentcast
