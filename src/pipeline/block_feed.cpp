#include "latentcast/pipeline/block_feed.h"

#include <ATen/ATen.h>

#include "latentcast/model/sampler/noise.h"

namespace latentcast {

BlockFeed::BlockFeed(const RenderJob& job, const Conditions& conditions, const StageShape& shape)
    : job_(job), conditions_(conditions), shape_(shape) {}

BlockItem BlockFeed::item(int64_t clip, int64_t block) const {
  BlockItem item;
  item.clip = clip;
  item.block = block;
  item.number = clip * shape_.blocks_per_clip + block;
  item.audio = conditions_.audio.narrow(1, item.number * kBlockFrames, kBlockFrames);
  if (conditions_.speaker_mask.defined()) {
    // As the public code: the first latents' mask serves every block.
    item.speaker_mask = conditions_.speaker_mask.narrow(1, 0, kBlockLatents);
  }
  return item;
}

at::Tensor BlockFeed::noise(int64_t clip, int64_t block) {
  if (clip != clip_) {
    noise_ = clip_noise(*job_.base_seed, clip, shape_.blocks_per_clip * kBlockLatents, shape_.latent_rows,
                        shape_.latent_columns);
    clip_ = clip;
  }
  return noise_.narrow(1, block * kBlockLatents, kBlockLatents);
}

}  // namespace latentcast
