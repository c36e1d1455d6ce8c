#pragma once

#include <filesystem>
#include <string>

namespace latentcast {

/// A run directory for one run alone, while the object lives. The lock is the system's (an open file
/// description's byte range, `man 2 fcntl`, F_OFD_SETLK): it goes with the process however that ends, holds
/// between hosts on NFS, and isn't lost when other descriptors of the file are closed, as the older kind is.
/// The file says host, process and time, for messages only; it stays.
class RunLock {
 public:
  /// Throws InputError naming the holder's host and process if there is one, OutputError if the file can't be
  /// made.
  explicit RunLock(const std::filesystem::path& file);
  ~RunLock();
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&&) = delete;

  /// Who holds the lock ("host …, process …, since …"); empty if nobody does, or if the file system can't
  /// say.
  static std::string holder(const std::filesystem::path& file);

  /// A line for the user if the file system knows no locks (some Lustre mounts): two runs in one folder can't
  /// be kept apart then. Empty else.
  const std::string& warning() const { return warning_; }

 private:
  int descriptor_ = -1;
  std::string warning_;
};

}  // namespace latentcast
