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

  /// Whether `bytes` lie in the mapping.
  bool holds(std::span<const std::byte> bytes) const;
  /// Gives the memory of these bytes, which lie in the mapping, and of some around them back to the system.
  /// They stay readable: who looks at them again reads them from the file again.
  void release(std::span<const std::byte> bytes) const;
  /// Copies bytes that lie in the mapping to memory of the caller's, from the file itself: no page is mapped for
  /// it, so several threads don't hold each other up. Throws InputError if the disk or the file fails.
  void read(std::span<const std::byte> bytes, std::byte* to) const;

 private:
  std::string path_;
  int fd_ = -1;
  std::span<const std::byte> bytes_;
};

}  // namespace latentcast
