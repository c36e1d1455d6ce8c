#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace latentcast {

/// A file being written, by name or without one. Throws OutputError where the disk refuses.
class SpoolFile {
 public:
  /// A file that nobody else sees, in the folder of `path`; gone when closed, even if the process is killed.
  static SpoolFile unnamed_beside(const std::string& path);
  /// Creates or empties `path`.
  static SpoolFile named(const std::string& path);

  ~SpoolFile();
  SpoolFile(SpoolFile&& other) noexcept;
  SpoolFile& operator=(SpoolFile&&) = delete;

  void write(std::span<const std::byte> bytes);
  uint64_t size() const { return size_; }
  /// Appends a part of another spool file.
  void copy_from(const SpoolFile& other, uint64_t offset, uint64_t size);
  void sync();

 private:
  SpoolFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  [[noreturn]] void fail(const std::string& what) const;

  int fd_;
  std::string path_;
  uint64_t size_ = 0;
};

}  // namespace latentcast
