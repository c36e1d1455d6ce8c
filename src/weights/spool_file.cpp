#include "weights/spool_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "latentcast/error.h"

namespace latentcast {

void SpoolFile::fail(const std::string& what) const {
  throw OutputError("can't " + what + " '" + path_ + "': " + std::strerror(errno) +
                    ". Free space or choose another place, and run again.");
}

SpoolFile SpoolFile::unnamed_beside(const std::string& path) {
  std::string name = path + ".XXXXXX";
  SpoolFile file(::mkostemp(name.data(), O_CLOEXEC), path);
  if (file.fd_ < 0) file.fail("write beside");
  // Unlinked at once: the system frees it whatever happens to us. (O_TMPFILE would do, but not on NFS.)
  ::unlink(name.c_str());
  return file;
}

SpoolFile SpoolFile::named(const std::string& path) {
  SpoolFile file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), path);
  if (file.fd_ < 0) file.fail("write");
  return file;
}

SpoolFile::~SpoolFile() {
  if (fd_ >= 0) ::close(fd_);
}

SpoolFile::SpoolFile(SpoolFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), size_(other.size_) {}

void SpoolFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write to");
    bytes = bytes.subspan(static_cast<size_t>(written));
    size_ += static_cast<uint64_t>(written);
  }
}

void SpoolFile::copy_from(const SpoolFile& other, uint64_t offset, uint64_t size) {
  constexpr uint64_t kPiece = uint64_t{1} << 20;
  std::vector<std::byte> buffer(std::min(size, kPiece));
  while (size > 0) {
    const ssize_t got = ::pread(other.fd_, buffer.data(), std::min(size, kPiece), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read back what was written for");
    if (got == 0) throw InternalError("what was written for '" + path_ + "' is shorter than it was");
    write(std::span(buffer).first(static_cast<size_t>(got)));
    offset += static_cast<uint64_t>(got);
    size -= static_cast<uint64_t>(got);
  }
}

void SpoolFile::sync() {
  if (::fsync(fd_) != 0) fail("write");
}

}  // namespace latentcast
