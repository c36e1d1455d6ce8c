#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "descriptor.h"
#include "hdf5_handle.h"
#include <ATen/core/Tensor.h>

namespace latentcast {

/// Writes an HDF5 file of named tensors, numbers and texts, as docs/files.md describes. HDF5 makes room for
/// a tensor and says where; the bytes then go from their memory straight there, so that its lock is held for
/// moments only, a full disk is found with the system's own error, and the checksum costs no second pass.
class TensorFileWriter {
 public:
  /// A new file, in place of one of that name. Throws OutputError.
  explicit TensorFileWriter(const std::filesystem::path& file);
  /// Without close() the file stays unfinished.
  ~TensorFileWriter();
  TensorFileWriter(const TensorFileWriter&) = delete;
  TensorFileWriter& operator=(const TensorFileWriter&) = delete;

  /// On the CPU, contiguous. Throws OutputError, or InternalError for another tensor.
  void add(const std::string& name, const at::Tensor& tensor) { add_parts(name, {tensor}); }
  /// One tensor, given as parts that lie one behind the other along its first dimension.
  void add_parts(const std::string& name, const std::vector<at::Tensor>& parts);
  void add_number(const std::string& name, int64_t value);
  void add_text(const std::string& name, const std::string& value);
  /// Makes the file durable under the name it has.
  void close();
  const std::filesystem::path& path() const { return path_; }

 private:
  /// An empty data set; its bytes' place in the file.
  Hdf5Handle create(const std::string& name, const std::vector<at::Tensor>& parts, off_t& offset);
  /// Returns the checksum.
  std::string write_bytes(const std::vector<at::Tensor>& parts, off_t offset);
  void reserve(off_t offset, off_t size);
  void close_hdf5();

  std::filesystem::path path_;
  Descriptor descriptor_;
  Hdf5Handle file_;
};

/// Reads such a file. Throws InputError naming the file and what is wrong with it. Any thread, one at a time.
class TensorFileReader {
 public:
  explicit TensorFileReader(const std::filesystem::path& file);
  ~TensorFileReader();
  TensorFileReader(const TensorFileReader&) = delete;
  TensorFileReader& operator=(const TensorFileReader&) = delete;

  /// Names of all tensors, sorted.
  std::vector<std::string> names() const;
  bool has(const std::string& name) const;
  /// What is stored under a name, without its contents.
  struct Description {
    at::ScalarType type;
    std::string type_name;
    std::vector<int64_t> shape;
    off_t offset = 0;
    std::string xxh3;
  };
  Description describe(const std::string& name) const;
  at::Tensor read(const std::string& name) const;
  void read_into(const std::string& name, const at::Tensor& target) const;
  int64_t number(const std::string& name) const;
  std::string text(const std::string& name) const;
  /// All numbers and texts, as text, by name.
  std::vector<std::pair<std::string, std::string>> attributes() const;

 private:
  void read_bytes(const std::string& name, const Description& stored, const at::Tensor& target) const;

  std::filesystem::path path_;
  Descriptor descriptor_;
  Hdf5Handle file_;
};

}  // namespace latentcast
