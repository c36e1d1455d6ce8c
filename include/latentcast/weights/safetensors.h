#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "latentcast/weights/tensor_view.h"

namespace latentcast {

/// Maps one .safetensors file. Throws InputError naming the file (and the tensor) if anything in it doesn't
/// add up: header size, JSON, types, shapes, offsets, overlaps, gaps.
TensorArchive open_safetensors(const std::string& path);

/// Maps all shards that an index (`weight_map`: tensor -> file beside the index) names. Throws InputError
/// naming a missing shard, or a tensor that isn't in its shard. A tensor that only the shards know is kept.
TensorArchive open_safetensors_sharded(const std::string& index_json_path);

/// `dir/stem.safetensors.index.json` if there is one, else `dir/stem.safetensors`.
TensorArchive open_safetensors_folder(const std::string& dir, const std::string& stem);

/// Reads a file that is already in memory. The views point into `file`, which the caller keeps; `name` is for
/// messages.
TensorArchive parse_safetensors(std::span<const std::byte> file, const std::string& name);

}  // namespace latentcast
