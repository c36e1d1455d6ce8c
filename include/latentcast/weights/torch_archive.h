#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "latentcast/weights/tensor_view.h"

namespace latentcast {

/// Maps a file of torch.save (.pth, .pt, pytorch_model.bin; zip form): a state dict, or {'state_dict': one}.
/// Its pickle is read by an interpreter that knows only what a state dict needs; nothing in the file is
/// executed. Tensors that aren't stored row-major are copied into memory that the archive owns. Throws
/// InputError naming the file.
TensorArchive open_torch_archive(const std::string& path);

/// Reads a file that is already in memory. The views point into `file`, which the caller keeps; `name` is for
/// messages.
TensorArchive parse_torch_archive(std::span<const std::byte> file, const std::string& name);

/// A torch archive or a safetensors file, told apart by content.
TensorArchive open_archive(const std::string& path);

}  // namespace latentcast
