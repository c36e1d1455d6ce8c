#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace latentcast {

/// A tensor in a file of a checkpoint or in conditions.h5.
struct ListedTensor {
  std::string name, type;
  std::vector<int64_t> shape;
  int64_t bytes = 0;
  std::string damage;  ///< why it can't be read; empty if it can
};

struct TensorListing {
  std::vector<ListedTensor> tensors;                            ///< by name
  std::vector<std::pair<std::string, std::string>> attributes;  ///< the file's numbers and texts, by name
};

/// What an HDF5 file of this program holds. With `verify` every tensor is read and compared with its
/// checksum. Throws InputError if the file is none or can't be opened.
TensorListing list_tensors(const std::filesystem::path& file, bool verify);

}  // namespace latentcast
