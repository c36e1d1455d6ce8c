#include "latentcast/model/dit/weights.h"

#include <algorithm>
#include <iterator>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/model/vae/latent_scale.h"

namespace latentcast {
namespace {

constexpr int64_t kPatch = kLatentChannels * 1 * 2 * 2;
const std::string kAudioEncoder = "casual_audio_encoder.";

AttentionWeights take_attention(TensorSource& source, const std::string& name, int64_t dim) {
  const std::vector<Rows> weights =
      source.take_product_weights({name + ".q.weight", name + ".k.weight", name + ".v.weight"}, {dim, dim});
  const std::vector<at::Tensor> biases =
      source.take_together({name + ".q.bias", name + ".k.bias", name + ".v.bias"}, {dim});
  AttentionWeights w;
  w.q = {weights[0].values, biases[0], weights[0].scale};
  w.k = {weights[1].values, biases[1], weights[1].scale};
  w.v = {weights[2].values, biases[2], weights[2].scale};
  w.query_key_value = joined(joined(w.q, w.k), w.v);
  w.o = take_product(source, name + ".o", dim, dim);
  w.norm_q = source.take(name + ".norm_q.weight", {dim});
  w.norm_k = source.take(name + ".norm_k.weight", {dim});
  return w;
}

/// A convolution whose stride is its kernel, as a product over patches.
Linear take_patch(TensorSource& source, const std::string& name, int64_t dim) {
  return {source.take(name + ".weight", {dim, kLatentChannels, 1, 2, 2}).view({dim, kPatch}),
          source.take(name + ".bias", {dim})};
}

AudioEncoderWeights take_audio_encoder(TensorSource& source, const DitConfig& config) {
  const std::string name = kAudioEncoder + "encoder.";
  const int64_t dim = config.dim, quarter = dim / 4, local = quarter * config.audio_tokens;
  const auto weight = [&](const std::string& conv, int64_t out, int64_t in) {
    return source.take_float(name + conv + ".conv.weight", {out, in, 3});
  };
  const auto bias = [&](const std::string& conv, int64_t out) {
    return source.take_float(name + conv + ".conv.bias", {out});
  };
  AudioEncoderWeights audio;
  audio.layer_weights = take_audio_layer_weights(source, config);
  audio.conv_local_weight = weight("conv1_local", local, config.audio_dim);
  audio.conv_local_bias = bias("conv1_local", local);
  audio.conv_global_weight = weight("conv1_global", quarter, config.audio_dim);
  audio.conv_global_bias = bias("conv1_global", quarter);
  audio.conv2_weight = weight("conv2", dim / 2, quarter);
  audio.conv2_bias = bias("conv2", dim / 2);
  audio.conv3_weight = weight("conv3", dim, dim / 2);
  audio.conv3_bias = bias("conv3", dim);
  audio.final_linear = take_linear_float(source, name + "final_linear", dim, dim);
  audio.padding_token = source.take_float(name + "padding_tokens", {1, 1, 1, dim}).flatten();
  return audio;
}

}  // namespace

DitConfig complete_config(DitConfig config, const TensorSource& source) {
  const std::vector<int64_t> text = source.shape("text_embedding.0.weight");
  const std::vector<int64_t> audio = source.shape(kAudioEncoder + "weights");
  if (text.size() != 2 || audio.size() != 4) {
    throw InputError(
        "transformer: text_embedding.0.weight or casual_audio_encoder.weights has a wrong number of "
        "dimensions; is this a Wan2.2-S2V checkpoint?");
  }
  config.text_dim = text[1];
  config.audio_layers = audio[1];
  if (config.dim % 4 != 0) {
    throw InputError("transformer: dim " + std::to_string(config.dim) +
                     " in config.json is no multiple of 4");
  }
  std::sort(config.inject_layers.begin(), config.inject_layers.end());
  return config;
}

at::Tensor take_audio_layer_weights(TensorSource& source, const DitConfig& config) {
  const at::Tensor raw =
      source.take_float(kAudioEncoder + "weights", {1, config.audio_layers, 1, 1}).flatten();
  const at::Tensor positive = at::silu(raw);
  return positive / positive.sum();
}

DitGlobalWeights take_dit_globals(TensorSource& source, const DitConfig& config) {
  const int64_t dim = config.dim;
  DitGlobalWeights w;
  w.patch = take_patch(source, "patch_embedding", dim);
  w.pose_patch = take_patch(source, "cond_encoder", dim);
  w.text1 = take_linear(source, "text_embedding.0", dim, config.text_dim);
  w.text2 = take_linear(source, "text_embedding.2", dim, dim);
  w.time1 = take_linear_float(source, "time_embedding.0", dim, config.freq_dim);
  w.time2 = take_linear_float(source, "time_embedding.2", dim, dim);
  w.time_projection = take_linear_float(source, "time_projection.1", 6 * dim, dim);
  w.condition_mask = source.take("trainable_cond_mask.weight", {3, dim});
  const char* const names[3] = {"frame_packer.proj", "frame_packer.proj_2x", "frame_packer.proj_4x"};
  for (int i = 0; i < 3; ++i) {
    const int64_t scale = int64_t{1} << i;
    w.motion_weight[i] =
        source.take(std::string(names[i]) + ".weight", {dim, kLatentChannels, scale, 2 * scale, 2 * scale});
    w.motion_bias[i] = source.take(std::string(names[i]) + ".bias", {dim});
  }
  w.head_modulation = source.take_float("head.modulation", {1, 2, dim}).squeeze(0);
  w.head = take_linear_float(source, "head.head", kPatch, dim);
  w.audio = take_audio_encoder(source, config);
  return w;
}

DitLayerWeights take_dit_layer(TensorSource& source, const DitConfig& config, int64_t layer) {
  const int64_t dim = config.dim;
  const std::string name = "blocks." + std::to_string(layer) + ".";
  DitLayerWeights w;
  w.modulation = source.take_float(name + "modulation", {1, 6, dim}).squeeze(0);
  w.self_attention = take_attention(source, name + "self_attn", dim);
  w.cross_attention = take_attention(source, name + "cross_attn", dim);
  w.norm3_weight = source.take(name + "norm3.weight", {dim});
  w.norm3_bias = source.take(name + "norm3.bias", {dim});
  w.ffn_up = take_product(source, name + "ffn.0", config.ffn_dim, dim);
  w.ffn_down = take_product(source, name + "ffn.2", dim, config.ffn_dim);
  const auto found = std::find(config.inject_layers.begin(), config.inject_layers.end(), layer);
  if (found != config.inject_layers.end()) {
    const std::string id = std::to_string(found - config.inject_layers.begin());
    w.injector = InjectorWeights{
        take_product(source, "audio_injector.injector_adain_layers." + id + ".linear", 2 * dim, dim),
        take_attention(source, "audio_injector.injector." + id, dim)};
  }
  return w;
}

std::vector<std::string> names_not_in_fp8() {
  return {"patch_embedding.*",
          "cond_encoder.*",
          "trainable_cond_mask.weight",
          "frame_packer.*",
          "text_embedding.*",
          "time_embedding.*",
          "time_projection.*",
          "head.*",
          kAudioEncoder + "*",
          "blocks.*.modulation",
          "blocks.*.norm3.*",
          "blocks.*.norm_q.weight",
          "blocks.*.norm_k.weight",
          "audio_injector.*.norm_q.weight",
          "audio_injector.*.norm_k.weight",
          "*.bias"};
}

void check_fp8(const DitConfig& config) {
  constexpr int64_t kMultiple = 16;
  const auto check = [](const char* name, int64_t size) {
    if (size % kMultiple != 0) {
      throw InputError("--fp8: the transformer's " + std::string(name) + " is " + std::to_string(size) +
                       ", products in 8 bits need a multiple of " + std::to_string(kMultiple) +
                       "; leave --fp8 out");
    }
  };
  check("dim", config.dim);
  check("ffn_dim", config.ffn_dim);
}

RangeOfLayers::RangeOfLayers(TensorSource& source, const DitConfig& config, int64_t begin, int64_t end)
    : begin_(begin) {
  if (begin < 0 || begin > end || end > config.layers) {
    throw InternalError("layers " + std::to_string(begin) + " to " + std::to_string(end) +
                        " were asked for, the model has " + std::to_string(config.layers));
  }
  for (int64_t layer = begin; layer < end; ++layer) {
    layers_.push_back(take_dit_layer(source, config, layer));
  }
}

const DitLayerWeights& RangeOfLayers::acquire(int64_t layer) {
  const int64_t held = std::ssize(layers_);
  if (layer < begin_ || layer >= begin_ + held) {
    throw InternalError("layer " + std::to_string(layer) + " was asked for, this rank holds layers " +
                        std::to_string(begin_) + " to " + std::to_string(begin_ + held - 1));
  }
  return layers_[static_cast<size_t>(layer - begin_)];
}

int64_t RangeOfLayers::bytes() const {
  int64_t sum = 0;
  for (const DitLayerWeights& layer : layers_) sum += weight_bytes(layer);
  return sum;
}

}  // namespace latentcast
