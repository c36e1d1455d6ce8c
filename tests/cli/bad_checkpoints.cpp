// Checkpoints that are incomplete, damaged or of another model.

#include <cstring>
#include <map>
#include <stdexcept>

#include "bad_input.h"
#include "files.h"
#include <nlohmann/json.hpp>

#include "latentcast/weights/safetensors.h"
#include "latentcast/weights/safetensors_writer.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Damage = std::function<void(TinyJob&)>;

const std::string kShard = "diffusion_pytorch_model-00001-of-00002.safetensors";
const std::string kIndex = "diffusion_pytorch_model.safetensors.index.json";
const std::string kSpeech = "wav2vec2-large-xlsr-53-english/model.safetensors";
const std::string kSpeechNorm = "wav2vec2.encoder.layer_norm.weight";

struct StoredTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};
using StoredTensors = std::map<std::string, StoredTensor>;

StoredTensors read_tensors(const fs::path& path) {
  const TensorArchive archive = open_safetensors(path.string());
  StoredTensors tensors;
  for (const std::string& name : archive.names()) {
    const TensorView& view = *archive.find(name);
    tensors[name] = {view.dtype, view.shape, {view.bytes.begin(), view.bytes.end()}};
  }
  return tensors;
}

/// A checkpoint file whose tensors are not those that they should be.
Damage change_tensors(const std::string& file, const std::function<void(StoredTensors&)>& change) {
  return [=](TinyJob& job) {
    StoredTensors tensors = read_tensors(job.checkpoint(file));
    change(tensors);
    SafetensorsWriter writer(job.checkpoint(file));
    for (const auto& [name, tensor] : tensors) {
      writer.add(name, tensor.dtype, tensor.shape, tensor.bytes);
    }
    writer.close();
  };
}

/// A JSON file with other contents.
Damage change_json(const std::string& file, const std::function<void(json&)>& change) {
  return [=](TinyJob& job) {
    json root = json::parse(read_bytes(job.checkpoint(file)));
    change(root);
    write_bytes(job.checkpoint(file), root.dump());
  };
}

/// The header of a safetensors file with other contents; the data stay.
Damage change_header(const std::string& file, const std::function<void(json&)>& change) {
  return [=](TinyJob& job) {
    const std::string bytes = read_bytes(job.checkpoint(file));
    uint64_t size = 0;
    std::memcpy(&size, bytes.data(), 8);
    json header = json::parse(bytes.substr(8, size));
    change(header);
    const std::string text = header.dump(), data = bytes.substr(8 + size);
    size = text.size();
    write_bytes(job.checkpoint(file), std::string(reinterpret_cast<const char*>(&size), 8) + text + data);
  };
}

Damage cut_short(const std::string& file) {
  return
      [=](TinyJob& job) { fs::resize_file(job.checkpoint(file), fs::file_size(job.checkpoint(file)) / 2); };
}

Damage replace_file(const std::string& file, const std::string& contents) {
  return [=](TinyJob& job) { write_bytes(job.checkpoint(file), contents); };
}

Damage remove(const std::string& file) {
  return [=](TinyJob& job) { fs::remove(job.checkpoint(file)); };
}

/// Part of a file for something of the same length.
Damage exchange(const std::string& file, const std::string& from, const std::string& to) {
  return [=](TinyJob& job) {
    std::string bytes = read_bytes(job.checkpoint(file));
    const size_t at = bytes.find(from);
    if (at == std::string::npos || from.size() != to.size()) {
      throw std::runtime_error(file + " has no such part of this length");
    }
    write_bytes(job.checkpoint(file), bytes.replace(at, from.size(), to));
  };
}

std::vector<BadInput> missing_files() {
  return {
      {"FolderMissing",
       [](TinyJob& job) { fs::remove_all(job.checkpoint("")); },
       {"--ckpt_dir", "there is no folder"}},
      {"ConfigMissing", remove("config.json"), {"--ckpt_dir", "lacks config.json", "Download"}},
      {"VaeMissing", remove("Wan2.1_VAE.pth"), {"lacks Wan2.1_VAE.pth", "Download"}},
      {"TextEncoderMissing",
       remove("models_t5_umt5-xxl-enc-bf16.pth"),
       {"lacks models_t5_umt5-xxl-enc-bf16.pth", "Download"}},
      {"TokenizerMissing",
       remove("google/umt5-xxl/tokenizer.json"),
       {"lacks google/umt5-xxl/tokenizer.json", "Download"}},
      {"SpeechConfigMissing",
       remove("wav2vec2-large-xlsr-53-english/config.json"),
       {"lacks wav2vec2-large-xlsr-53-english/config.json", "Download"}},
      {"SpeechWeightsMissing", remove(kSpeech), {"lacks " + kSpeech, "pytorch_model.bin", "Download"}},
      {"ShardMissing", remove(kShard), {"lacks " + kShard, "Download"}},
      {"IndexMissing", remove(kIndex), {"lacks diffusion_pytorch_model.safetensors", kIndex, "Download"}},
      {"LoraMissing",
       remove("liveavatar.safetensors"),
       {"--load_lora", "liveavatar.safetensors", "Put it there, or name it with --lora_path_dmd"}},
  };
}

std::vector<BadInput> damaged_files() {
  return {
      {"ShardCutShort", cut_short(kShard), {kShard, "ownload"}},
      {"ShardEmpty", replace_file(kShard, ""), {kShard, "ownload"}},
      {"ShardIsText",
       replace_file(kShard, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
       {kShard, "ownload"}},
      {"VaeCutShort", cut_short("Wan2.1_VAE.pth"), {"Wan2.1_VAE.pth", "ownload"}},
      {"TextEncoderCutShort",
       cut_short("models_t5_umt5-xxl-enc-bf16.pth"),
       {"models_t5_umt5-xxl-enc-bf16.pth", "ownload"}},
      {"OffsetsOverlap",
       change_header(kSpeech,
                     [](json& header) {
                       header[kSpeechNorm]["data_offsets"] = {272, 304};
                     }),
       {kSpeech, "wav2vec2.encoder.layer_norm", "overlaps", "ownload"}},
      {"PickleGlobalForbidden",
       exchange("Wan2.1_VAE.pth", "collections\nOrderedDict\n", "subprocess\ncheck_output\n"),
       {"Wan2.1_VAE.pth", "subprocess", "check_output"}},
      {"IndexNotJson", replace_file(kIndex, "{\"weight_map\": "), {kIndex, "ownload"}},
      {"ConfigNotJson", replace_file("config.json", "dim: 24"), {"config.json", "ownload"}},
      {"ConfigLacksAField",
       change_json("config.json", [](json& root) { root.erase("num_heads"); }),
       {"config.json", "num_heads"}},
      {"ConfigWithAText",
       change_json("config.json", [](json& root) { root["dim"] = "wide"; }),
       {"config.json", "dim"}},
      {"TokenizerCutShort",
       cut_short("google/umt5-xxl/tokenizer.json"),
       {"tokenizer.json", "damaged", "Download it again"}},
      {"TokenizerOfAnotherKind",
       change_json("google/umt5-xxl/tokenizer.json", [](json& root) { root["model"]["type"] = "BPE"; }),
       {"tokenizer.json", "BPE", "public checkpoint"}},
      {"LoraCutShort", cut_short("liveavatar.safetensors"), {"liveavatar.safetensors", "ownload"}},
  };
}

void remove_from_index(TinyJob& job, const std::string& tensor) {
  change_json(kIndex, [&](json& root) { root["weight_map"].erase(tensor); })(job);
}

std::vector<BadInput> wrong_tensors() {
  const std::string weight = "audio_injector.injector.0.q.weight";
  return {
      {"TensorMissing",
       change_tensors(kSpeech, [](StoredTensors& tensors) { tensors.erase(kSpeechNorm); }),
       {kSpeech, kSpeechNorm, "is missing", "download it again"}},
      {"TensorMissingInItsShard",
       change_tensors(kShard, [=](StoredTensors& tensors) { tensors.erase(weight); }),
       {kShard, weight, "ownload"}},
      {"TensorMissingInAllShards",
       [=](TinyJob& job) {
         change_tensors(kShard, [&](StoredTensors& tensors) { tensors.erase(weight); })(job);
         remove_from_index(job, weight);
       },
       {weight, "is missing", "diffusion_pytorch_model"}},
      {"TensorOfWrongShape",
       change_tensors(kSpeech,
                      [](StoredTensors& tensors) {
                        tensors[kSpeechNorm].shape = {2, 8};
                      }),
       {kSpeech, kSpeechNorm, "[2, 8]", "[16]", "belong together"}},
      {"TensorOfWrongType",
       change_tensors(kSpeech,
                      [](StoredTensors& tensors) {
                        tensors[kSpeechNorm].dtype = DType::kI32;
                        tensors[kSpeechNorm].bytes.resize(16 * 4);
                      }),
       {kSpeech, kSpeechNorm, "I32", "must be F32, F16 or BF16"}},
      {"TensorLeftOver",
       change_tensors(kShard,
                      [](StoredTensors& tensors) {
                        tensors["blocks.7.extra"] = {DType::kF32, {1}, std::vector<std::byte>(4)};
                      }),
       {"blocks.7.extra", "doesn't know", "belong together"}},
      {"ConfigOfAnotherWidth",
       change_json("config.json", [](json& root) { root["dim"] = 32; }),
       {"diffusion_pytorch_model", "[24", "[32", "belong together"}},
      {"ConfigOfMoreLayers",
       change_json("config.json", [](json& root) { root["num_layers"] = 3; }),
       {"blocks.2.", "is missing"}},
      {"ConfigOfAbsurdSize",
       change_json("config.json", [](json& root) { root["ffn_dim"] = int64_t{1} << 62; }),
       {"config.json", "ffn_dim"}},
      {"SpeechEncoderOfAnotherWidth",
       change_json("config.json", [](json& root) { root["audio_dim"] = 32; }),
       {"width 32", "width 16", "different models"}},
      {"LoraOfAnotherModel",
       [](TinyJob& job) {
         job.options["lora_path_dmd"] =
             data_folder() / "cases" / "landscape" / "checkpoint" / "liveavatar.safetensors";
       },
       {"landscape/checkpoint/liveavatar.safetensors", "another model"}},
      {"LoraIsNoLora",
       [](TinyJob& job) { job.options["lora_path_dmd"] = job.checkpoint(kSpeech); },
       {kSpeech, "isn't part of a LoRA"}},
  };
}

}  // namespace

std::vector<BadInput> bad_checkpoints() {
  std::vector<BadInput> all = missing_files();
  for (const auto& more : {damaged_files(), wrong_tensors()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace latentcast::test
