#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace latentcast {

/// config.json of the diffusion transformer.
struct DitFileConfig {
  int64_t dim = 0;
  int64_t ffn_dim = 0;
  int64_t freq_dim = 0;
  int64_t num_heads = 0;
  int64_t num_layers = 0;
  int64_t in_dim = 0;
  int64_t out_dim = 0;
  double eps = 0;
  int64_t text_len = 0;
  int64_t audio_dim = 0;
  int64_t num_audio_token = 0;
  int64_t cond_dim = 0;
  std::vector<int64_t> audio_inject_layers;  ///< each in [0, num_layers), ascending
  // The rest is checked to be what the networks implement.
  bool enable_adain = true;
  std::string adain_mode;
  bool add_last_motion = true;
  bool zero_timestep = true;
  bool enable_framepack = true;
  std::string framepack_drop_mode;
};

/// config.json of the speech encoder.
struct Wav2Vec2FileConfig {
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t intermediate_size = 0;
  std::vector<int64_t> conv_dim;  ///< conv_dim, conv_kernel and conv_stride are equally long
  std::vector<int64_t> conv_kernel;
  std::vector<int64_t> conv_stride;
  bool conv_bias = false;
  std::string feat_extract_norm;
  bool do_stable_layer_norm = false;
  int64_t num_conv_pos_embeddings = 0;
  int64_t num_conv_pos_embedding_groups = 0;
  double layer_norm_eps = 0;
};

/// Throw InputError naming file and field if it is missing, of the wrong kind, out of range, or asks for a
/// variant of the network that latentcast doesn't have.
DitFileConfig read_dit_config(const std::string& path);
Wav2Vec2FileConfig read_wav2vec2_config(const std::string& path);

}  // namespace latentcast
