#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace latentcast {

/// A whole file mapped read-only. Nothing is read until it is looked at, so files larger than memory are
/// fine. The file must not be cut short while it is mapped (the system answers that with SIGBUS).
class MappedFile {
 public:
  /// Throws InputError if the file is missing, a folder, unreadable or empty.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace latentcast
