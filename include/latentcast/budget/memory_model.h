#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "latentcast/model/dit/cache_means.h"
#include "latentcast/pipeline/layout.h"

namespace latentcast {

/// What memory depends on of the networks. Counts of numbers unless said otherwise.
struct ModelSizes {
  int64_t dim = 0, ffn_dim = 0, heads = 0, layers = 0;
  int64_t freq_dim = 256, text_dim = 0, text_len = 512;
  int64_t audio_dim = 0, audio_layers = 0, audio_tokens = 0;
  std::vector<int64_t> inject_layers;
  int64_t decoder_weights = 0;  ///< numbers of the autoencoder's decoder, as the device keeps them
  int64_t decoder_state = 0;    ///< numbers that it remembers at the job's size (decoder_state_elements())
  int64_t decoder_width = 96;   ///< channels of its pictures of full size
  bool operator==(const ModelSizes&) const = default;
};

/// What memory depends on of the job.
struct WorkSizes {
  int64_t latent_rows = 0, latent_columns = 0;
  int64_t timesteps = 4, blocks_per_clip = 4;
  int64_t element_bytes = 2;  ///< of the type that the networks compute in
  bool on_gpu = true;
  int64_t speakers = 1;
  bool pose = false;              ///< poses are encoded clip by clip, beside the denoising
  bool batch_decode = false;      ///< a clip in one call
  bool copy_engines = false;      ///< move all that goes between ranks: NCCL isn't there
  bool exact_checkpoints = true;  ///< copies of caches and decoder state wait in host memory for the disk

  /// Tokens of one latent, of a block.
  int64_t reference_tokens() const { return latent_rows / 2 * (latent_columns / 2); }
  int64_t block_tokens() const { return 3 * reference_tokens(); }
};

/// The means that save a device's memory, besides dividing the work.
struct MemoryMeans {
  bool fp8 = false;  ///< the transformer's products
  CacheMeans cache;
  bool decoder_state_on_host = false;  ///< between blocks, which are then decoded in turn with the steps
  bool audio_encoder_on_host = false;  ///< weights that make a block's audio tokens
  bool operator==(const MemoryMeans&) const = default;
};

/// Bytes of one part.
struct MemoryPart {
  std::string name;
  int64_t bytes = 0;
};

/// What one rank takes, part by part.
struct RankMemory {
  int rank = 0;
  std::vector<MemoryPart> device;   ///< while it renders
  std::vector<MemoryPart> loading;  ///< while weights are loaded and the stage is made, where that is more
  std::vector<MemoryPart> host;     ///< pinned, besides the program itself

  /// Most bytes on the device.
  int64_t device_bytes() const;
  int64_t host_bytes() const;
};

/// Bytes of one of the transformer's layers, its audio injector included: the tensors alone, and laid out for
/// shards (each at a multiple of 256).
struct LayerBytes {
  int64_t tensors = 0, placed = 0;
};
LayerBytes layer_bytes(const ModelSizes& model, int64_t layer, int64_t element_bytes, bool fp8);

/// Bytes of what a stage has besides its layers.
struct GlobalBytes {
  int64_t kept = 0;     ///< by every stage
  int64_t first = 0;    ///< by the stage with the first layer: what embeds the motion
  int64_t audio = 0;    ///< by every stage, or in host memory: the audio encoder's weights
  int64_t dropped = 0;  ///< once the stage is made
};
GlobalBytes global_bytes(const ModelSizes& model, int64_t element_bytes);

/// What decoding takes over the decoder's weights and state.
int64_t decoding_bytes(const ModelSizes& model, const WorkSizes& work);

/// What each rank of the layout takes. Tensors that stay are counted from their shapes; room to work in, the
/// allocator's slack, CUDA's context and NCCL's buffers by what was measured (src/budget/measured.h). On a
/// CPU only what stays counts.
std::vector<RankMemory> estimate_memory(const ModelSizes& model, const WorkSizes& work,
                                        const RankLayout& layout, const MemoryMeans& means);

/// What a rank takes besides tensors and caches: CUDA's own, and between several ranks NCCL's buffers or,
/// where copy engines move all, the slots that the others read.
int64_t outside_bytes(const ModelSizes& model, const WorkSizes& work, const RankLayout& layout, int rank);

/// GiB with one decimal, rounded up.
std::string gib_text(int64_t bytes);

/// The largest parts on the device in words: "attention caches 41.1 GiB, layers 14.9 GiB".
std::string largest_parts(const RankMemory& rank, size_t count);

/// A JSON list: bytes of each rank's parts, on the device, while loading and in host memory.
std::string memory_json(const std::vector<RankMemory>& ranks);

/// A table: a column a rank, a line a part; no newline at its end.
std::string memory_table(const std::vector<RankMemory>& ranks);

}  // namespace latentcast
