#include "rank_restore.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "rank_saver.h"
#include <ATen/ATen.h>

namespace latentcast {

void restore_caches(const CheckpointReader& checkpoint, DenoiseStage& stage) {
  at::Tensor host;  // one for all: pages that are new to the process take longer than the copy
  const auto restore = [&](const CachedLayer& cached, const char* what, const at::Tensor& target) {
    if (!host.defined()) {
      host = at::empty_like(target, at::TensorOptions().device(at::kCPU));
    }
    checkpoint.read_into(checkpoint.holding(cached.timestep, cached.layer), cache_name(cached.layer, what),
                         host);
    target.copy_(host);
  };
  for (const CachedLayer& cached : stage.caches_after_clip()) {
    restore(cached, "key", cached.key);
    restore(cached, "value", cached.value);
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
