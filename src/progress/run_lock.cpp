#include "latentcast/progress/run_lock.h"

#include <cerrno>
#include <chrono>
#include <ctime>
#include <thread>
#include <utility>

#include "descriptor.h"
#include <fcntl.h>
#include <unistd.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

std::string own_name() {
  char host[256] = "?";
  ::gethostname(host, sizeof host - 1);
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char time[32];
  std::strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S", &local);
  return "host " + std::string(host) + ", process " + std::to_string(::getpid()) + ", since " + time;
}

struct flock whole_file() {
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  return range;
}

/// What the holder has written; it may just be about to.
std::string name_in(int descriptor) {
  for (int tries = 0; tries < 20; ++tries) {
    char text[512];
    const ssize_t got = ::pread(descriptor, text, sizeof text, 0);
    if (got > 0 && text[got - 1] == '\n') return {text, static_cast<size_t>(got - 1)};
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return "host and process unknown";
}

}  // namespace

RunLock::RunLock(const fs::path& file) {
  Descriptor descriptor(file, O_RDWR | O_CREAT);
  struct flock range = whole_file();
  if (::fcntl(descriptor.number(), F_OFD_SETLK, &range) != 0) {
    if (errno == EAGAIN || errno == EACCES) {
      throw InputError("--run_dir " + file.parent_path().string() +
                       ": another run is at work in this folder (" + name_in(descriptor.number()) +
                       "); let it finish, stop it, or choose another folder");
    }
    if (errno != ENOLCK && errno != ENOSYS && errno != EOPNOTSUPP && errno != EINVAL) {
      throw_output_error(file, errno);
    }
    warning_ = file.parent_path().string() + ": this file system has no locks (" + std::strerror(errno) +
               "); see to it yourself that only one run uses the folder";
  }
  const std::string name = own_name() + "\n";
  if (::ftruncate(descriptor.number(), 0) == 0) {
    // Only for messages: a full disk is found out by what matters.
    [[maybe_unused]] const ssize_t written = ::pwrite(descriptor.number(), name.data(), name.size(), 0);
  }
  descriptor_ = descriptor.release();
}

std::string RunLock::holder(const fs::path& file) {
  const Descriptor descriptor(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  struct flock range = whole_file();
  const bool asked = descriptor.number() >= 0 && ::fcntl(descriptor.number(), F_OFD_GETLK, &range) == 0;
  return asked && range.l_type != F_UNLCK ? name_in(descriptor.number()) : "";
}

RunLock::~RunLock() {
  if (descriptor_ < 0) return;
  [[maybe_unused]] const int emptied = ::ftruncate(descriptor_, 0);
  ::close(descriptor_);
}

RunLock::RunLock(RunLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), warning_(std::move(other.warning_)) {}

}  // namespace latentcast
