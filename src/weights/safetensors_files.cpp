#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include "weights/json_file.h"
#include "weights/tensor_layout.h"

#include "latentcast/error.h"
#include "latentcast/weights/mapped_file.h"
#include "latentcast/weights/safetensors.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// Shards lie beside their index; anything else could name any file of the machine.
void check_shard_name(const std::string& shard, const std::string& index) {
  const bool plain = !shard.empty() && shard.find_first_of(std::string("/\\\0", 3)) == std::string::npos &&
                     shard != "." && shard != "..";
  if (!plain) {
    throw InputError("'" + index + "' names the shard " + quote_name(shard) +
                     ", which isn't a file beside it.");
  }
}

/// tensor -> shard
std::map<std::string, std::string> read_weight_map(const std::string& index) {
  const nlohmann::json json = read_json_object(index);
  const auto found = json.find("weight_map");
  if (found == json.end() || !found->is_object()) {
    throw InputError("'" + index + "' has no 'weight_map'. It isn't the index of a sharded checkpoint.");
  }
  std::map<std::string, std::string> map;
  for (const auto& [tensor, shard] : found->items()) {
    if (!shard.is_string())
      throw InputError("'" + index + "' gives no file name for tensor " + quote_name(tensor) + ".");
    check_shard_name(shard.get_ref<const std::string&>(), index);
    map.emplace(tensor, shard.get<std::string>());
  }
  return map;
}

}  // namespace

TensorArchive open_safetensors(const std::string& path) {
  auto file = std::make_shared<const MappedFile>(path);
  TensorArchive archive = parse_safetensors(file->bytes(), path);
  archive.own_mapping(std::move(file));
  return archive;
}

TensorArchive open_safetensors_sharded(const std::string& index_json_path) {
  const auto weight_map = read_weight_map(index_json_path);
  const fs::path folder = fs::path(index_json_path).parent_path();
  std::map<std::string, TensorArchive> shards;
  for (const auto& [tensor, shard] : weight_map) {
    auto it = shards.find(shard);
    if (it == shards.end()) {
      const std::string path = (folder / shard).string();
      if (!is_there(path)) {
        throw InputError("the shard '" + path + "' is missing, '" + index_json_path +
                         "' names it. Download the rest of the checkpoint.");
      }
      it = shards.emplace(shard, open_safetensors(path)).first;
    }
    if (it->second.find(tensor) == nullptr) {
      throw InputError("tensor " + quote_name(tensor) + " isn't in '" + it->second.file() + "', where '" +
                       index_json_path + "' says it is. Download both again.");
    }
  }
  TensorArchive all(index_json_path);
  for (auto& [name, shard] : shards) all.absorb(std::move(shard));
  return all;
}

TensorArchive open_safetensors_folder(const std::string& dir, const std::string& stem) {
  const fs::path index = fs::path(dir) / (stem + ".safetensors.index.json");
  if (is_there(index)) return open_safetensors_sharded(index.string());
  const fs::path single = fs::path(dir) / (stem + ".safetensors");
  if (is_there(single)) return open_safetensors(single.string());
  throw InputError("neither '" + index.string() + "' nor '" + single.string() +
                   "' exists. Check that the checkpoint's folder is right and its download complete.");
}

}  // namespace latentcast
