#pragma once

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "latentcast/error.h"

namespace latentcast {

/// "FILE: can't be written: No space left on device; free some space and run again".
[[noreturn]] inline void throw_output_error(const std::filesystem::path& file, int error) {
  std::string advice = "; choose another place";
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    advice = "; free some space and run again, or choose another place";
  } else if (error == EACCES || error == EPERM || error == EROFS) {
    advice = "; change its rights or choose another place";
  } else if (error == ENOENT || error == ENOTDIR) {
    advice = "; has its folder been removed? Run again, or choose another place";
  } else if (error == EIO || error == ESTALE) {
    advice = "; check the disk, then run again";
  }
  throw OutputError(file.string() + ": can't be written: " + std::strerror(error) + advice);
}

/// An open file; closed with the object.
class Descriptor {
 public:
  /// Throws OutputError.
  Descriptor(const std::filesystem::path& file, int flags)
      : number_(::open(file.c_str(), flags | O_CLOEXEC, 0666)) {
    if (number_ < 0) throw_output_error(file, errno);
  }
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;

  int number() const { return number_; }
  int release() { return std::exchange(number_, -1); }

  // `file` is for the message only.
  void write_all(const void* bytes, size_t size, const std::filesystem::path& file) const {
    const auto* next = static_cast<const char*>(bytes);
    while (size > 0) {
      const ssize_t written = ::write(number_, next, size);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw_output_error(file, errno);
      next += written;
      size -= static_cast<size_t>(written);
    }
  }
  void write_all_at(const void* bytes, size_t size, off_t offset, const std::filesystem::path& file) const {
    const auto* next = static_cast<const char*>(bytes);
    while (size > 0) {
      const ssize_t written = ::pwrite(number_, next, size, offset);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw_output_error(file, errno);
      next += written;
      offset += written;
      size -= static_cast<size_t>(written);
    }
  }
  void sync(const std::filesystem::path& file) const {
    if (::fsync(number_) != 0) throw_output_error(file, errno);
  }
  void close(const std::filesystem::path& file) {
    if (::close(std::exchange(number_, -1)) != 0) throw_output_error(file, errno);
  }

 private:
  int number_;
};

}  // namespace latentcast
