#include "checkpoint_files.h"

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "latentcast/config/render_job.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kAlways[] = {
    "config.json",
    "Wan2.1_VAE.pth",
    "models_t5_umt5-xxl-enc-bf16.pth",
    "google/umt5-xxl/tokenizer.json",
    "wav2vec2-large-xlsr-53-english/config.json",
};
constexpr const char* kSpeechFolder = "wav2vec2-large-xlsr-53-english";
constexpr const char* kWeights = "diffusion_pytorch_model.safetensors";
constexpr const char* kIndex = "diffusion_pytorch_model.safetensors.index.json";

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// The files that an index names. A damaged one names none; reading the weights will say more about it.
std::set<std::string> shards(const fs::path& index) {
  std::ifstream in(index);
  const json root = json::parse(in, nullptr, /*allow_exceptions=*/false);
  std::set<std::string> names;
  if (!root.is_object() || !root.contains("weight_map")) return names;
  for (const json& name : root.at("weight_map")) {
    if (name.is_string()) names.insert(name.get<std::string>());
  }
  return names;
}

std::vector<std::string> missing_files(const fs::path& folder) {
  std::vector<std::string> missing;
  for (const char* name : kAlways) {
    if (!is_file(folder / name)) missing.emplace_back(name);
  }
  if (is_file(folder / kIndex)) {
    for (const std::string& name : shards(folder / kIndex)) {
      if (!is_file(folder / name)) missing.push_back(name);
    }
  } else if (!is_file(folder / kWeights)) {
    missing.push_back(std::string(kWeights) + " (or its parts with " + kIndex + ")");
  }
  const fs::path speech = folder / kSpeechFolder;
  if (!is_file(speech / "model.safetensors") && !is_file(speech / "pytorch_model.bin")) {
    missing.push_back(std::string(kSpeechFolder) + "/model.safetensors (or pytorch_model.bin)");
  }
  return missing;
}

}  // namespace

std::vector<std::string> model_files(const fs::path& ckpt_dir) {
  std::vector<std::string> names(std::begin(kAlways), std::end(kAlways));
  if (is_file(ckpt_dir / kIndex)) {
    const std::set<std::string> parts = shards(ckpt_dir / kIndex);
    names.insert(names.end(), parts.begin(), parts.end());
  } else {
    names.emplace_back(kWeights);
  }
  const std::string speech = std::string(kSpeechFolder) + "/model.safetensors";
  names.push_back(is_file(ckpt_dir / speech) ? speech : std::string(kSpeechFolder) + "/pytorch_model.bin");
  return names;
}

void check_checkpoint(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw InputError("--ckpt_dir: there is no folder " + folder.string() + ".");
  }
  std::string list;
  for (const std::string& name : missing_files(folder)) list += (list.empty() ? "" : ", ") + name;
  if (!list.empty()) {
    throw InputError("--ckpt_dir: the checkpoint " + folder.string() + " lacks " + list +
                     ". Download the missing files (docs/files.md).");
  }
}

}  // namespace latentcast
