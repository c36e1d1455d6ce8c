#include "latentcast/model/audio/wav2vec2.h"

#include <cmath>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/model/layers.h"

namespace latentcast {
namespace {

constexpr int64_t kQueriesAtOnce = 8192;  // 164 s of sound

const std::string kPrefix = "wav2vec2.";

at::Tensor normalise(std::span<const float> samples) {
  double sum = 0, squares = 0;
  for (const float s : samples) {
    sum += s;
  }
  const double mean = sum / static_cast<double>(samples.size());
  for (const float s : samples) {
    squares += (s - mean) * (s - mean);
  }
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(samples.size()) + 1e-7);
  at::Tensor out = at::empty({static_cast<int64_t>(samples.size())}, at::kFloat);
  float* to = out.data_ptr<float>();
  for (size_t i = 0; i < samples.size(); ++i) {
    to[i] = static_cast<float>((samples[i] - mean) * scale);
  }
  return out;
}

struct Norm {
  at::Tensor weight, bias;
  double epsilon;
  at::Tensor operator()(const at::Tensor& x) const {
    return at::layer_norm(x, {x.size(-1)}, weight, bias, epsilon);
  }
};

Norm take_norm(TensorSource& source, const std::string& name, int64_t width, double epsilon) {
  return {source.take(name + ".weight", {width}), source.take(name + ".bias", {width}), epsilon};
}

struct FeatureConv {
  at::Tensor weight, bias;
  Norm norm;
};

FeatureConv take_feature_conv(TensorSource& source, const Wav2Vec2Config& config, size_t index) {
  const std::string name = kPrefix + "feature_extractor.conv_layers." + std::to_string(index) + ".";
  const int64_t out = config.conv_width[index], in = index == 0 ? 1 : config.conv_width[index - 1];
  return {source.take(name + "conv.weight", {out, in, config.conv_kernel[index]}),
          config.conv_bias ? source.take(name + "conv.bias", {out}) : at::Tensor(),
          take_norm(source, name + "layer_norm", out, 1e-5)};
}

/// Samples [n] -> [frames, last width].
at::Tensor extract_features(TensorSource& source, const Wav2Vec2Config& config, at::Tensor x,
                            const EncodingProgress& progress) {
  x = x.view({1, 1, -1});
  for (size_t i = 0; i < config.conv_width.size(); ++i) {
    const FeatureConv conv = take_feature_conv(source, config, i);
    x = at::conv1d(x, conv.weight, conv.bias, config.conv_stride[i]);
    progress();
    x = at::gelu(conv.norm(x.transpose(1, 2))).transpose(1, 2);
    progress();
  }
  return x.squeeze(0).transpose(0, 1);
}

struct Projection {
  Norm norm;
  Linear linear;
};

Projection take_projection(TensorSource& source, const Wav2Vec2Config& config) {
  const std::string name = kPrefix + "feature_projection.";
  const int64_t in = config.conv_width.back();
  return {take_norm(source, name + "layer_norm", in, config.epsilon),
          take_linear(source, name + "projection", config.hidden, in)};
}

/// The positional convolution's weight is stored as direction and length, one length a kernel position.
at::Tensor position_weight(TensorSource& source, const Wav2Vec2Config& config) {
  const std::string name = kPrefix + "encoder.pos_conv_embed.conv.";
  const std::string modern = name + "parametrizations.weight.original";
  const bool old = source.has(name + "weight_g");
  const int64_t kernel = config.position_kernel;
  const at::Tensor length = source.take_float(old ? name + "weight_g" : modern + "0", {1, 1, kernel});
  const at::Tensor direction =
      source.take_float(old ? name + "weight_v" : modern + "1",
                        {config.hidden, config.hidden / config.position_groups, kernel});
  const at::Tensor norm = direction.square().sum(at::IntArrayRef({0, 1}), /*keepdim=*/true).sqrt();
  return direction * (length / norm);
}

at::Tensor take_position_bias(TensorSource& source, const Wav2Vec2Config& config) {
  return source.take(kPrefix + "encoder.pos_conv_embed.conv.bias", {config.hidden});
}

Norm take_last_norm(TensorSource& source, const Wav2Vec2Config& config) {
  return take_norm(source, kPrefix + "encoder.layer_norm", config.hidden, config.epsilon);
}

at::Tensor position_embedding(TensorSource& source, const Wav2Vec2Config& config, const at::Tensor& x) {
  const at::Tensor weight = position_weight(source, config).to(x.scalar_type());
  const at::Tensor bias = take_position_bias(source, config);
  at::Tensor y = at::conv1d(x.transpose(0, 1).unsqueeze(0), weight, bias, /*stride=*/1,
                            /*padding=*/config.position_kernel / 2, /*dilation=*/1, config.position_groups);
  y = y.narrow(2, 0, x.size(0));  // an even kernel gives one frame too many
  return at::gelu(y).squeeze(0).transpose(0, 1);
}

struct EncoderLayer {
  Norm before_attention, before_ffn;
  Linear q, k, v, o, up, down;
};

EncoderLayer take_layer(TensorSource& source, const Wav2Vec2Config& config, int64_t index) {
  const std::string name = kPrefix + "encoder.layers." + std::to_string(index) + ".";
  const int64_t hidden = config.hidden;
  return {take_norm(source, name + "layer_norm", hidden, config.epsilon),
          take_norm(source, name + "final_layer_norm", hidden, config.epsilon),
          take_linear(source, name + "attention.q_proj", hidden, hidden),
          take_linear(source, name + "attention.k_proj", hidden, hidden),
          take_linear(source, name + "attention.v_proj", hidden, hidden),
          take_linear(source, name + "attention.out_proj", hidden, hidden),
          take_linear(source, name + "feed_forward.intermediate_dense", config.ffn, hidden),
          take_linear(source, name + "feed_forward.output_dense", hidden, config.ffn)};
}

/// All frames attend to all frames, which grows with the square of the sound's length: some minutes at a
/// time. q, k, v [1, frames, heads, d] -> [frames, hidden].
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const EncodingProgress& progress) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& queries : q.split(kQueriesAtOnce, /*dim=*/1)) {
    parts.push_back(attention(queries, k, v).squeeze(0));
    progress();
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

at::Tensor run_layer(const EncoderLayer& layer, const at::Tensor& x, int64_t heads,
                     const EncodingProgress& progress) {
  const auto split = [&](const at::Tensor& t) { return t.view({1, t.size(0), heads, -1}); };
  const at::Tensor h = layer.before_attention(x);
  const at::Tensor y = x + layer.o(attend(split(layer.q(h)), split(layer.k(h)), split(layer.v(h)), progress));
  return y + layer.down(at::gelu(layer.up(layer.before_ffn(y))));
}

}  // namespace

int64_t shortest_sound(const Wav2Vec2Config& config) {
  int64_t samples = 1;
  for (size_t i = config.conv_width.size(); i-- > 0;) {
    samples = (samples - 1) * config.conv_stride[i] + config.conv_kernel[i];
  }
  return samples;
}

void encode_sound(TensorSource& source, const Wav2Vec2Config& config, std::span<const float> samples,
                  const HiddenStateSink& sink, const EncodingProgress& progress) {
  if (static_cast<int64_t>(samples.size()) < shortest_sound(config)) {
    throw InputError("the sound has " + std::to_string(samples.size()) +
                     " samples at 16 kHz, fewer than the " + std::to_string(shortest_sound(config)) +
                     " that one frame of the audio encoder needs");
  }
  const Projection projection = take_projection(source, config);
  at::Tensor x = normalise(samples).to(projection.linear.weight.options());
  x = projection.linear(projection.norm(extract_features(source, config, x, progress)));
  x = x + position_embedding(source, config, x);
  progress();
  for (int64_t i = 0; i < config.layers; ++i) {
    sink(i, x);
    x = run_layer(take_layer(source, config, i), x, config.heads, progress);
  }
  sink(config.layers, take_last_norm(source, config)(x));
}

void check_sound_weights(TensorSource& source, const Wav2Vec2Config& config) {
  for (size_t i = 0; i < config.conv_width.size(); ++i) {
    take_feature_conv(source, config, i);
  }
  take_projection(source, config);
  position_weight(source, config);
  take_position_bias(source, config);
  for (int64_t i = 0; i < config.layers; ++i) {
    take_layer(source, config, i);
  }
  take_last_norm(source, config);
}

}  // namespace latentcast
