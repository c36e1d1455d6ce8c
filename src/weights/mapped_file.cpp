#include "latentcast/weights/mapped_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// Looking at one page makes the system map those around it too, up to this boundary.
constexpr uintptr_t kMappedAround = 64 * 1024;

std::string why(int error) { return std::strerror(error); }

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    throw InputError("can't open '" + path + "': " + why(errno) +
                     ". Check the path and the rights to read it.");
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw InputError("can't look at '" + path + "': " + why(errno) + ".");
  if (S_ISDIR(info.st_mode))
    throw InputError("'" + path + "' is a folder, a file is needed. Name the file in it.");
  if (!S_ISREG(info.st_mode))
    throw InputError("'" + path + "' isn't a regular file. Copy its content into one.");
  if (info.st_size == 0) throw InputError("'" + path + "' is empty. Download or copy it again.");
  const auto size = static_cast<size_t>(info.st_size);
  void* const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (start == MAP_FAILED) throw InputError("can't map '" + path + "' into memory: " + why(errno) + ".");
  bytes_ = {static_cast<const std::byte*>(start), size};
  fd_ = fd.release();
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  if (fd_ >= 0) ::close(fd_);
}

bool MappedFile::holds(std::span<const std::byte> bytes) const {
  const std::less_equal<> before;  // also orders pointers into different objects
  return before(bytes_.data(), bytes.data()) &&
         before(bytes.data() + bytes.size(), bytes_.data() + bytes_.size());
}

void MappedFile::release(std::span<const std::byte> bytes) const {
  if (bytes.empty()) return;
  // The mapping begins at a page, its last page reaches beyond the file's end.
  const auto start = reinterpret_cast<uintptr_t>(bytes_.data());
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()) / kMappedAround * kMappedAround;
  const auto end = (reinterpret_cast<uintptr_t>(bytes.data() + bytes.size()) + kMappedAround - 1) /
                   kMappedAround * kMappedAround;
  const uintptr_t first = std::max(begin, start), last = std::min(end, start + bytes_.size());
  // Nothing is lost if the system refuses: the mapping is never written to.
  ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

void MappedFile::read(std::span<const std::byte> bytes, std::byte* to) const {
  const auto begin = static_cast<off_t>(bytes.data() - bytes_.data());
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::pread(fd_, to + done, bytes.size() - done, begin + static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw InputError("can't read '" + path_ + "': " + why(errno) + ". Check the disk.");
    if (count == 0) throw InputError("'" + path_ + "' was cut short while it was read. Copy it again.");
    done += static_cast<size_t>(count);
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace latentcast
