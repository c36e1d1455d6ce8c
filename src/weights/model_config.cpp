#include "latentcast/weights/model_config.h"

#include <algorithm>

#include "weights/config_fields.h"

namespace latentcast {
namespace {

constexpr int64_t kMaxLayers = 1000;

void check_dit_variant(const ConfigFields& fields) {
  fields.require_text("model_type", "s2v");
  fields.require_flag("enable_framepack", true);
  fields.require_flag("enable_adain", true);
  fields.require_flag("zero_timestep", true);
  fields.require_text("adain_mode", "attn_norm");
  fields.require_text("framepack_drop_mode", "padd");
  for (const char* key : {"enable_motioner", "enable_tsm", "trainable_token_pos_emb"}) {
    if (fields.has(key)) fields.require_flag(key, false);
  }
  for (const char* key : {"qk_norm", "cross_attn_norm"}) {
    if (fields.has(key)) fields.require_flag(key, true);
  }
  if (fields.has("patch_size") && fields.counts("patch_size", 1) != std::vector<int64_t>{1, 2, 2}) {
    fields.fail("patch_size", "isn't [1, 2, 2], the only one that latentcast has.");
  }
}

int64_t layer_count(const ConfigFields& fields, const std::string& key) {
  const int64_t layers = fields.count(key);
  if (layers > kMaxLayers) fields.fail(key, "is over " + std::to_string(kMaxLayers) + ".");
  return layers;
}

void check_heads(const ConfigFields& fields, const std::string& dim_key, int64_t dim, int64_t heads) {
  if (dim % heads == 0) return;
  fields.fail(dim_key, "is " + std::to_string(dim) + ", which can't be divided by the " +
                           std::to_string(heads) + " heads.");
}

std::vector<int64_t> inject_layers(const ConfigFields& fields, int64_t layers) {
  const std::string key = "audio_inject_layers";
  std::vector<int64_t> inject = fields.counts(key, 0);
  for (size_t i = 0; i < inject.size(); ++i) {
    if (inject[i] >= layers) {
      fields.fail(key,
                  "names layer " + std::to_string(inject[i]) + "; there are " + std::to_string(layers) + ".");
    }
    if (i > 0 && inject[i] <= inject[i - 1]) fields.fail(key, "isn't in ascending order.");
  }
  return inject;
}

}  // namespace

DitFileConfig read_dit_config(const std::string& path) {
  const ConfigFields fields(path);
  check_dit_variant(fields);
  DitFileConfig config;
  config.dim = fields.count("dim");
  config.ffn_dim = fields.count("ffn_dim");
  config.freq_dim = fields.count("freq_dim");
  config.num_heads = fields.count("num_heads");
  config.num_layers = layer_count(fields, "num_layers");
  config.in_dim = fields.count("in_dim");
  config.out_dim = fields.count("out_dim");
  config.eps = fields.positive("eps");
  config.text_len = fields.count("text_len");
  config.audio_dim = fields.count("audio_dim");
  config.num_audio_token = fields.count("num_audio_token");
  config.cond_dim = fields.count("cond_dim");
  config.audio_inject_layers = inject_layers(fields, config.num_layers);
  config.enable_adain = true;
  config.adain_mode = fields.text("adain_mode");
  config.add_last_motion = fields.flag_or("add_last_motion", true);
  config.zero_timestep = true;
  config.enable_framepack = true;
  config.framepack_drop_mode = fields.text("framepack_drop_mode");
  check_heads(fields, "dim", config.dim, config.num_heads);
  if (config.dim / config.num_heads % 2 != 0)
    fields.fail("num_heads", "makes heads of an odd size; rotation needs pairs.");
  if (config.freq_dim % 2 != 0) fields.fail("freq_dim", "is odd; it needs as many sines as cosines.");
  return config;
}

Wav2Vec2FileConfig read_wav2vec2_config(const std::string& path) {
  const ConfigFields fields(path);
  fields.require_text("feat_extract_norm", "layer");
  fields.require_flag("do_stable_layer_norm", true);
  fields.require_text("feat_extract_activation", "gelu");
  fields.require_text("hidden_act", "gelu");
  Wav2Vec2FileConfig config;
  config.hidden_size = fields.count("hidden_size");
  config.num_hidden_layers = layer_count(fields, "num_hidden_layers");
  config.num_attention_heads = fields.count("num_attention_heads");
  config.intermediate_size = fields.count("intermediate_size");
  config.conv_dim = fields.counts("conv_dim", 1);
  config.conv_kernel = fields.counts("conv_kernel", 1);
  config.conv_stride = fields.counts("conv_stride", 1);
  config.conv_bias = fields.flag("conv_bias");
  config.feat_extract_norm = fields.text("feat_extract_norm");
  config.do_stable_layer_norm = true;
  config.num_conv_pos_embeddings = fields.count("num_conv_pos_embeddings");
  config.num_conv_pos_embedding_groups = fields.count("num_conv_pos_embedding_groups");
  config.layer_norm_eps = fields.positive("layer_norm_eps");
  if (config.conv_dim.empty()) fields.fail("conv_dim", "is empty.");
  if (config.conv_kernel.size() != config.conv_dim.size())
    fields.fail("conv_kernel", "isn't as long as conv_dim.");
  if (config.conv_stride.size() != config.conv_dim.size())
    fields.fail("conv_stride", "isn't as long as conv_dim.");
  check_heads(fields, "hidden_size", config.hidden_size, config.num_attention_heads);
  if (config.hidden_size % config.num_conv_pos_embedding_groups != 0) {
    fields.fail("num_conv_pos_embedding_groups", "doesn't divide hidden_size.");
  }
  return config;
}

}  // namespace latentcast
