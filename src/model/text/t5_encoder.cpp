#include "latentcast/model/text/t5_encoder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "latentcast/error.h"
#include "latentcast/kernels/rotated_norm.h"
#include "latentcast/model/layers.h"

namespace latentcast {
namespace {

constexpr double kEpsilon = 1e-6;
constexpr int64_t kMaxDistance = 128;  // beyond it all distances share the last bucket

struct T5Layer {
  at::Tensor norm1, norm2;
  Linear q, k, v, o, gate, fc1, fc2;
  at::Tensor buckets;  // [buckets, heads]
};

T5Layer take_layer(TensorSource& source, int64_t index, int64_t width) {
  const std::string name = "blocks." + std::to_string(index) + ".";
  const int64_t inner = source.shape(name + "attn.q.weight").at(0);
  const int64_t ffn = source.shape(name + "ffn.fc1.weight").at(0);
  const std::vector<int64_t> buckets = source.shape(name + "pos_embedding.embedding.weight");
  if (buckets.size() != 2 || buckets[1] < 1 || inner % buckets[1] != 0) {
    throw InputError("text encoder: " + name + "pos_embedding.embedding.weight does not fit " + name +
                     "attn.q.weight; is this a umT5 encoder file?");
  }
  return {source.take(name + "norm1.weight", {width}),
          source.take(name + "norm2.weight", {width}),
          take_linear_without_bias(source, name + "attn.q", inner, width),
          take_linear_without_bias(source, name + "attn.k", inner, width),
          take_linear_without_bias(source, name + "attn.v", inner, width),
          take_linear_without_bias(source, name + "attn.o", width, inner),
          take_linear_without_bias(source, name + "ffn.gate.0", ffn, width),
          take_linear_without_bias(source, name + "ffn.fc1", ffn, width),
          take_linear_without_bias(source, name + "ffn.fc2", width, ffn),
          source.take(name + "pos_embedding.embedding.weight", buckets)};
}

/// T5's norm multiplies in the residual's type and rounds before the weight is applied.
at::Tensor t5_norm(const at::Tensor& x, const at::Tensor& weight) { return rms_norm(x, weight, kEpsilon); }

/// Bucket of the distance key − query, half of the buckets for each direction, in float32 as the public code.
int64_t bucket_of(int64_t distance, int64_t buckets) {
  const int64_t half = buckets / 2;
  const int64_t side = distance > 0 ? half : 0;
  const int64_t d = std::abs(distance);
  const int64_t exact = half / 2;
  if (d < exact) {
    return side + d;
  }
  const float ratio = std::log(static_cast<float>(d) / static_cast<float>(exact));
  const float scale = static_cast<float>(std::log(static_cast<double>(kMaxDistance) / static_cast<double>(exact)));
  const auto large = exact + static_cast<int64_t>(ratio / scale * static_cast<float>(half - exact));
  return side + std::min(large, half - 1);
}

at::Tensor bucket_table(int64_t tokens, int64_t buckets, at::Device device) {
  at::Tensor table = at::empty({tokens, tokens}, at::kLong);
  auto cell = table.accessor<int64_t, 2>();
  for (int64_t query = 0; query < tokens; ++query) {
    for (int64_t key = 0; key < tokens; ++key) {
      cell[query][key] = bucket_of(key - query, buckets);
    }
  }
  return table.to(device);
}

at::Tensor self_attention(const T5Layer& layer, const at::Tensor& x, const at::Tensor& table) {
  const int64_t tokens = x.size(0);
  const int64_t heads = layer.buckets.size(1);
  const auto split = [&](const at::Tensor& t) { return t.view({tokens, heads, -1}).transpose(0, 1); };
  const at::Tensor q = split(layer.q(x)), k = split(layer.k(x)), v = split(layer.v(x));
  const at::Tensor bias = layer.buckets.index_select(0, table.flatten()).view({tokens, tokens, heads}).permute({2, 0, 1});
  const at::Tensor scores = at::matmul(q, k.transpose(1, 2)) + bias;
  const at::Tensor weights = at::softmax(scores.to(at::kFloat), -1).to(scores.scalar_type());
  return layer.o(at::matmul(weights, v).transpose(0, 1).reshape({tokens, -1}));
}

at::Tensor feed_forward(const T5Layer& layer, const at::Tensor& x) {
  return layer.fc2(layer.fc1(x) * at::gelu(layer.gate(x), "tanh"));
}

std::vector<int64_t> embedding_shape(const TensorSource& source) {
  const std::vector<int64_t> shape = source.shape("token_embedding.weight");
  if (shape.size() != 2) {
    throw InputError("text encoder: token_embedding.weight is not a matrix; is this a umT5 encoder file?");
  }
  return shape;
}

bool has_layer(const TensorSource& source, int64_t index) {
  return source.has("blocks." + std::to_string(index) + ".attn.q.weight");
}

}  // namespace

void check_text_weights(TensorSource& source) {
  const std::vector<int64_t> shape = embedding_shape(source);
  source.take("token_embedding.weight", shape);
  for (int64_t i = 0; has_layer(source, i); ++i) {
    take_layer(source, i, shape[1]);
  }
  source.take("norm.weight", {shape[1]});
}

at::Tensor encode_text(TensorSource& source, const std::vector<int32_t>& token_ids) {
  const std::vector<int64_t> shape = embedding_shape(source);
  for (const int32_t id : token_ids) {
    if (id < 0 || id >= shape[0]) {
      throw InputError("token " + std::to_string(id) + " is outside the text encoder's vocabulary of " +
                       std::to_string(shape[0]) + ": tokenizer and text encoder belong to different models");
    }
  }
  const int64_t width = shape[1];
  at::Tensor x, table;
  {
    const at::Tensor embedding = source.take("token_embedding.weight", shape);
    const at::Tensor ids = at::tensor(at::ArrayRef<int32_t>(token_ids), at::kInt).to(embedding.device());
    x = embedding.index_select(0, ids);
  }
  const int64_t tokens = x.size(0);
  for (int64_t i = 0; has_layer(source, i); ++i) {
    const T5Layer layer = take_layer(source, i, width);
    if (!table.defined()) {
      table = bucket_table(tokens, layer.buckets.size(0), x.device());
    }
    x = x + self_attention(layer, t5_norm(x, layer.norm1), table);
    x = x + feed_forward(layer, t5_norm(x, layer.norm2));
  }
  return t5_norm(x, source.take("norm.weight", {width}));
}

}  // namespace latentcast
