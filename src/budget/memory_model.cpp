#include "latentcast/budget/memory_model.h"

#include <algorithm>
#include <numeric>

#include "measured.h"

namespace latentcast {
namespace {

constexpr int64_t kFloat = 4;
constexpr int64_t kShardPlace = 256;
constexpr int64_t kPatch = 16 * 2 * 2;

int64_t rounded_up(int64_t bytes, int64_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

/// Adds up the tensors of one layer in the order of take_dit_layer().
class LayerSum {
 public:
  LayerSum(int64_t element_bytes, bool fp8) : element_(element_bytes), fp8_(fp8) {}

  void tensor(int64_t bytes) {
    sum_.tensors += bytes;
    sum_.placed += rounded_up(bytes, kShardPlace);
  }
  void numbers(int64_t count) { tensor(count * element_); }
  /// Weight, scales and bias of a product.
  void product(int64_t out, int64_t in) {
    tensor(out * in * (fp8_ ? 1 : element_));
    if (fp8_) tensor(out * kFloat);
    numbers(out);
  }
  void attention(int64_t dim) {
    for (int i = 0; i < 4; ++i) product(dim, dim);
    numbers(dim);  // norms of q and k
    numbers(dim);
  }
  LayerBytes sum() const { return sum_; }

 private:
  int64_t element_;
  bool fp8_;
  LayerBytes sum_;
};

Range layers_of(const RankLayout& layout, int rank) {
  return layout.stages[static_cast<size_t>(layout.stage_of(rank))].layers;
}

int64_t weight_bytes(const ModelSizes& model, const RankLayout& layout, int rank, int64_t element, bool fp8) {
  const Range range = layers_of(layout, rank);
  const auto ranks = static_cast<int64_t>(layout.stages.size());
  int64_t whole = 0, share = 0, largest = 0;
  for (int64_t layer = range.begin; layer < range.end; ++layer) {
    const LayerBytes bytes = layer_bytes(model, layer, element, fp8);
    const int64_t part = rounded_up(bytes.placed, ranks * kShardPlace) / ranks;
    whole += bytes.tensors;
    share += part;
    largest = std::max(largest, part * ranks);
  }
  return layout.shard ? share + 2 * largest : whole;
}

AttentionCacheShape cache_shape(const ModelSizes& model, const WorkSizes& work, const StagePlan& stage) {
  AttentionCacheShape shape;
  shape.timesteps = stage.timesteps.size();
  shape.layers = stage.layers.size();
  shape.reference_tokens = work.reference_tokens();
  shape.motion_tokens = motion_tokens(work.latent_rows / 2, work.latent_columns / 2);
  shape.block_tokens = work.block_tokens();
  shape.blocks = work.blocks_per_clip;
  shape.heads = model.heads;
  shape.head_dim = model.dim / model.heads;
  return shape;
}

/// Fills in one rank's parts.
class RankEstimate {
 public:
  RankEstimate(const ModelSizes& model, const WorkSizes& work, const RankLayout& layout,
               const MemoryMeans& means, int rank)
      : model_(model), work_(work), layout_(layout), means_(means) {
    memory_.rank = rank;
  }

  RankMemory run() {
    if (layout_.stage_of(memory_.rank) >= 0) add_stage();
    if (layout_.decodes(memory_.rank)) add_decoder();
    if (work_.on_gpu) add_outside();
    return std::move(memory_);
  }

 private:
  void add_stage() {
    const StagePlan& stage = layout_.stages[static_cast<size_t>(layout_.stage_of(memory_.rank))];
    const int64_t element = work_.element_bytes;
    const GlobalBytes globals = global_bytes(model_, element);
    const bool first = stage.layers.begin == 0;
    stays("layers", weight_bytes(model_, layout_, memory_.rank, element, means_.fp8));
    stays("rest of the transformer", globals.kept + (first ? globals.first : 0));
    if (means_.audio_encoder_on_host) {
      memory_.host.push_back({"audio encoder", globals.audio});
      memory_.loading.push_back({"audio encoder", globals.audio});
    } else {
      stays("audio encoder", globals.audio);
    }
    const AttentionCacheShape shape = cache_shape(model_, work_, stage);
    const CacheBytes caches = cache_bytes(shape, means_.cache, element);
    memory_.device.push_back({"attention caches", caches.device + (work_.on_gpu ? rounding(shape) : 0)});
    memory_.host.push_back({"attention caches", caches.host});
    memory_.device.push_back({"prompt", stage.layers.size() * 2 * model_.text_len * model_.dim * element});
    if (work_.exact_checkpoints) {
      // What is in host memory already needn't be copied.
      int64_t copied = 0;
      for (int64_t layer = 0; layer < shape.layers; ++layer) {
        copied += window_on_device(means_.cache, layer, shape.layers) ? 1 : 0;
      }
      const int64_t kept = work_.block_tokens() * (work_.blocks_per_clip - 1) * 2 * model_.dim * element;
      memory_.host.push_back({"checkpoints", kept * shape.timesteps * copied});
    }
    if (!work_.on_gpu) return;
    memory_.device.push_back({"a step's work", step_bytes()});
    if (work_.pose && first) memory_.device.push_back({"poses", pose_bytes()});
    memory_.loading.push_back(
        {"loading", globals.dropped + (first ? 0 : globals.first) + measured::kLoading});
  }

  /// What attention reads in place is mapped, in pieces of the GPU's own size.
  int64_t rounding(const AttentionCacheShape& shape) const {
    constexpr int64_t kPiece = int64_t{2} << 20;
    const auto lost = [&](int64_t tokens) {
      const int64_t bytes = tokens * shape.dim() * work_.element_bytes;
      return rounded_up(bytes, kPiece) - bytes;
    };
    int64_t bytes = 0;
    if (means_.cache.packed) return bytes;
    for (int64_t layer = 0; layer < shape.layers; ++layer) {
      if (!window_in_place(means_.cache, layer, shape.layers)) continue;
      bytes += 2 * shape.timesteps * lost(shape.window_tokens()) + 2 * lost(shape.condition_tokens());
    }
    return bytes;
  }

  int64_t pose_bytes() const {
    return work_.latent_rows * work_.latent_columns * model_.decoder_width * work_.element_bytes *
           measured::kPoses;
  }

  int64_t step_bytes() const {
    const int64_t motion = motion_tokens(work_.latent_rows / 2, work_.latent_columns / 2);
    const int64_t tokens = std::max(work_.block_tokens(), work_.reference_tokens() + motion);
    const int64_t row = model_.dim * work_.element_bytes;
    const int64_t row_ffn = model_.ffn_dim * (work_.element_bytes + (means_.fp8 ? 1 : work_.element_bytes));
    int64_t bytes = tokens * (measured::kRowsOfAStep * row + row_ffn) + measured::kStep;
    // The sound's attention has each token once a speaker.
    bytes += (work_.speakers - 1) * tokens * measured::kRowsOfASpeaker * row;
    if (layout_.split == Split::kLayers && layout_.stages.size() > 1) {
      bytes += tokens * measured::kRowsUnderWay * row;
    }
    return bytes;
  }

  void add_decoder() {
    stays("decoder", model_.decoder_weights * work_.element_bytes);
    const int64_t state = model_.decoder_state * work_.element_bytes;
    if (work_.exact_checkpoints) memory_.host.push_back({"checkpoints of the decoder", state});
    if (means_.decoder_state_on_host) memory_.host.push_back({"decoder's state", state});
    if (!work_.on_gpu) {
      if (!means_.decoder_state_on_host) memory_.device.push_back({"decoder's state", state});
      return;
    }
    const int64_t decoding = decoding_bytes(model_, work_);
    if (!means_.decoder_state_on_host) {
      memory_.device.push_back({"decoder's state", state});
      memory_.device.push_back({"decoding", decoding});
    } else {
      // In turn with the steps, which then have given back what depends on the size.
      const int64_t step = layout_.stage_of(memory_.rank) >= 0 ? step_bytes() - measured::kStep : 0;
      memory_.device.push_back({"decoding, in turn", std::max<int64_t>(state + decoding - step, 0)});
    }
  }

  /// LibTorch's allocator takes pieces of 2 MiB and more and can't use all of each.
  void add_outside() {
    int64_t tensors = 0;
    for (const MemoryPart& part : memory_.device) tensors += part.bytes;
    const bool beside =
        layout_.decodes(memory_.rank) && layout_.stage_of(memory_.rank) >= 0 && !means_.decoder_state_on_host;
    memory_.device.push_back(
        {"slack", measured::kSlack + tensors / measured::kSlackPart + (beside ? measured::kSlackBeside : 0)});
    stays("CUDA and NCCL", outside_bytes(model_, work_, layout_, memory_.rank));
  }

  /// There while weights are loaded, and afterwards.
  void stays(const std::string& name, int64_t bytes) {
    memory_.device.push_back({name, bytes});
    memory_.loading.push_back({name, bytes});
  }

  const ModelSizes& model_;
  const WorkSizes& work_;
  const RankLayout& layout_;
  const MemoryMeans& means_;
  RankMemory memory_;
};

int64_t sum(const std::vector<MemoryPart>& parts) {
  return std::accumulate(parts.begin(), parts.end(), int64_t{0},
                         [](int64_t before, const MemoryPart& part) { return before + part.bytes; });
}

}  // namespace

int64_t RankMemory::device_bytes() const { return std::max(sum(device), sum(loading)); }
int64_t RankMemory::host_bytes() const { return sum(host); }

LayerBytes layer_bytes(const ModelSizes& model, int64_t layer, int64_t element_bytes, bool fp8) {
  const int64_t dim = model.dim;
  LayerSum all(element_bytes, fp8);
  all.tensor(6 * dim * kFloat);
  all.attention(dim);
  all.attention(dim);
  all.numbers(dim);  // norm3
  all.numbers(dim);
  all.product(model.ffn_dim, dim);
  all.product(dim, model.ffn_dim);
  const auto& with = model.inject_layers;
  if (std::find(with.begin(), with.end(), layer) != with.end()) {
    all.product(2 * dim, dim);
    all.attention(dim);
  }
  return all.sum();
}

GlobalBytes global_bytes(const ModelSizes& model, int64_t element) {
  const int64_t dim = model.dim;
  const auto product = [](int64_t out, int64_t in, int64_t bytes) { return (out * in + out) * bytes; };
  GlobalBytes bytes;
  bytes.dropped = product(dim, model.text_dim, element) + product(dim, dim, element) +
                  product(dim, model.freq_dim, kFloat) + product(dim, dim, kFloat) +
                  product(6 * dim, dim, kFloat);
  bytes.kept =
      2 * product(dim, kPatch, element) + 3 * dim * element + 2 * dim * kFloat + product(kPatch, dim, kFloat);
  for (const int64_t scale : {1, 2, 4}) {
    bytes.first += dim * 16 * scale * 2 * scale * 2 * scale * element;
    bytes.kept += dim * element;
  }
  const int64_t quarter = dim / 4, local = quarter * model.audio_tokens;
  bytes.audio =
      (3 * ((local + quarter) * model.audio_dim + dim / 2 * quarter + dim * dim / 2) + dim * dim) * kFloat;
  bytes.kept += (model.audio_layers + local + quarter + dim / 2 + dim + 2 * dim) * kFloat;
  return bytes;
}

int64_t decoding_bytes(const ModelSizes& model, const WorkSizes& work) {
  const int64_t latents = work.batch_decode ? 3 * work.blocks_per_clip : 3;
  const int64_t pixels = work.latent_rows * work.latent_columns * model.decoder_width * work.element_bytes;
  return std::max(pixels * (latents * measured::kDecodingPerLatent + measured::kDecodingPieces),
                  pixels * latents * measured::kDecodingWhole);
}

int64_t outside_bytes(const ModelSizes& model, const WorkSizes& work, const RankLayout& layout, int rank) {
  if (layout.world_size == 1) return measured::kContext;
  if (!work.copy_engines) {
    return measured::kContext + measured::kLinks + (layout.shard ? measured::kGatherLinks : 0);
  }
  const int stage = layout.stage_of(rank);
  const bool tokens = layout.split == Split::kLayers && stage >= 0 && stage + 1 < std::ssize(layout.stages);
  const int64_t sent = tokens ? work.block_tokens() * model.dim * work.element_bytes : 0;
  return measured::kContext + (layout.world_size - 1) * measured::kSlots * measured::kSlotGrain +
         measured::kSlots * rounded_up(sent, measured::kSlotGrain);
}

std::vector<RankMemory> estimate_memory(const ModelSizes& model, const WorkSizes& work,
                                        const RankLayout& layout, const MemoryMeans& means) {
  std::vector<RankMemory> ranks;
  for (int rank = 0; rank < layout.world_size; ++rank) {
    ranks.push_back(RankEstimate(model, work, layout, means, rank).run());
  }
  return ranks;
}

}  // namespace latentcast
