#pragma once

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include <sys/mount.h>

namespace latentcast::test {

/// A small file system of its own (a tmpfs), gone with the object. Where mounting is refused, mounted() is
/// false.
class SmallDisk {
 public:
  SmallDisk(const std::filesystem::path& path, const char* size) : path_(path) {
    std::filesystem::create_directories(path);
    error_ = mount("tmpfs", path.c_str(), "tmpfs", 0, size) == 0 ? 0 : errno;
  }
  ~SmallDisk() {
    if (error_ == 0) umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return error_ == 0; }
  std::string reason() const {
    return std::string("mounting a file system is refused: ") + std::strerror(error_);
  }
  const std::filesystem::path& path() const { return path_; }

  /// Changes the size ("size=8m"). Returns whether it worked.
  bool resize(const char* size) { return remount(MS_REMOUNT, size); }
  bool make_read_only() { return remount(MS_REMOUNT | MS_RDONLY, nullptr); }

 private:
  bool remount(unsigned long flags, const char* options) {
    return mount("tmpfs", path_.c_str(), "tmpfs", flags, options) == 0;
  }

  std::filesystem::path path_;
  int error_ = 0;
};

}  // namespace latentcast::test
