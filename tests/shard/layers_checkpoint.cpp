#include "layers_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include <ATen/ATen.h>

#include "latentcast/shard/layer_layout.h"
#include "latentcast/weights/safetensors.h"
#include "latentcast/weights/safetensors_writer.h"

namespace latentcast::test {
namespace {

constexpr int64_t kLoraRank = 8;

void add(SafetensorsWriter& writer, const std::string& name, at::IntArrayRef shape,
         const at::Tensor& values) {
  writer.add(name, values.scalar_type() == at::kFloat ? DType::kF32 : DType::kBF16, shape.vec(),
             {static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()});
}

void append_linear(std::vector<at::Tensor>& all, const Linear& linear) {
  all.push_back(linear.weight);
  all.push_back(linear.bias);
  if (linear.is_fp8()) all.push_back(linear.scale);
}

void append_attention(std::vector<at::Tensor>& all, const AttentionWeights& w) {
  for (const Linear* linear : {&w.q, &w.k, &w.v, &w.o}) append_linear(all, *linear);
  all.push_back(w.norm_q);
  all.push_back(w.norm_k);
}

}  // namespace

DitConfig small_layers() {
  DitConfig config;
  config.dim = 40;
  config.ffn_dim = 600;
  config.heads = 2;
  config.layers = 5;
  config.inject_layers = {0, 3};
  return config;
}

void write_layers(const std::string& folder, const DitConfig& config, at::ScalarType dtype) {
  SafetensorsWriter base(folder + "/layers.safetensors");
  SafetensorsWriter lora(folder + "/lora.safetensors");
  constexpr std::string_view kWeight = ".weight";
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const PlacedTensor& tensor : lay_out_layer(config, layer, at::kFloat).tensors) {
      add(base, tensor.name, tensor.shape, at::randn(tensor.shape).to(dtype));
      if (tensor.shape.size() != 2) continue;
      const std::string target = tensor.name.substr(0, tensor.name.size() - kWeight.size());
      add(lora, target + ".lora_A.weight", {kLoraRank, tensor.shape[1]},
          at::randn({kLoraRank, tensor.shape[1]}));
      add(lora, target + ".lora_B.weight", {tensor.shape[0], kLoraRank},
          at::randn({tensor.shape[0], kLoraRank}));
    }
  }
  base.close();
  lora.close();
}

CheckpointSource open_layers(const std::string& folder, at::ScalarType dtype, bool with_lora) {
  const auto open = [&](const std::string& file) {
    return std::make_shared<const TensorArchive>(open_safetensors(folder + "/" + file));
  };
  CheckpointSource source(open("layers.safetensors"), dtype, at::kCPU);
  if (with_lora) source.set_lora(std::make_shared<const LoraAdapter>(open("lora.safetensors")));
  return source;
}

std::vector<at::Tensor> tensors_of(const DitLayerWeights& layer) {
  std::vector<at::Tensor> all = {layer.modulation, layer.norm3_weight, layer.norm3_bias};
  append_attention(all, layer.self_attention);
  append_attention(all, layer.cross_attention);
  append_linear(all, layer.ffn_up);
  append_linear(all, layer.ffn_down);
  if (layer.injector) {
    append_linear(all, layer.injector->adain);
    append_attention(all, layer.injector->attention);
  }
  return all;
}

std::string difference(const DitLayerWeights& a, const DitLayerWeights& b) {
  constexpr uintptr_t kAlignment = 64;
  const std::vector<at::Tensor> left = tensors_of(a), right = tensors_of(b);
  if (left.size() != right.size()) return "number of tensors";
  for (size_t i = 0; i < left.size(); ++i) {
    const at::Tensor &x = left[i], &y = right[i];
    const bool same = x.sizes() == y.sizes() && x.strides() == y.strides() &&
                      x.scalar_type() == y.scalar_type() &&
                      std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
    if (!same) return "tensor " + std::to_string(i);
    for (const at::Tensor& tensor : {x, y}) {
      if (reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % kAlignment != 0) {
        return "alignment of tensor " + std::to_string(i);
      }
    }
  }
  return "";
}

}  // namespace latentcast::test
