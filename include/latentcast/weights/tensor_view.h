#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace latentcast {

class MappedFile;

enum class DType { kF64, kF32, kF16, kBF16, kF8E4M3, kI64, kI32, kI16, kI8, kU8, kBool };

/// Bytes of one element.
size_t dtype_size(DType dtype);

/// As safetensors writes it: "F32", "BF16", "BOOL" ...
std::string_view dtype_name(DType dtype);

/// A tensor in a file: row-major without gaps. The bytes belong to the archive that the view came from, and
/// may lie at any address (not aligned to the element).
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  std::string file;  ///< for messages: the file (shard) that holds it
};

/// Named tensors of one checkpoint (one file or many), together with the memory they lie in.
class TensorArchive {
 public:
  /// `file` is what messages call the whole.
  explicit TensorArchive(std::string file) : file_(std::move(file)) {}
  TensorArchive(TensorArchive&&) noexcept = default;
  TensorArchive& operator=(TensorArchive&&) noexcept = default;
  TensorArchive(const TensorArchive&) = delete;
  TensorArchive& operator=(const TensorArchive&) = delete;

  /// nullptr if there is none. Valid as long as the archive.
  const TensorView* find(std::string_view name) const;
  /// Sorted.
  std::vector<std::string> names() const;
  size_t size() const { return tensors_.size(); }
  /// Gives the memory of bytes that were read back to the system, if they lie in a mapped file; they stay
  /// readable.
  void release(std::span<const std::byte> bytes) const;
  /// Copies bytes of a view, or of a part of one, to memory of the caller's, best by several threads at once.
  /// Throws InputError if the disk or the file fails.
  void read(std::span<const std::byte> bytes, std::byte* to) const;
  const std::string& file() const { return file_; }

  /// For readers. Throws InputError if the name is taken.
  void add(std::string name, TensorView view);
  /// For readers: keeps what the views point into.
  void own(std::shared_ptr<const void> memory) { owned_.push_back(std::move(memory)); }
  /// For readers: as own(), for a mapping that release() may act on.
  void own_mapping(std::shared_ptr<const MappedFile> file);
  /// For readers: takes over another archive's tensors and memory.
  void absorb(TensorArchive&& other);

 private:
  std::string file_;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::vector<std::shared_ptr<const void>> owned_;
  std::vector<std::shared_ptr<const MappedFile>> mappings_;
};

}  // namespace latentcast
