// A library that is loaded before all others (LD_PRELOAD) and makes one call on files under a folder fail, as
// a broken disk does:
//   LATENTCAST_DISK_FAULT="fsync 3 5 /tmp/run"    the third fsync there fails with error 5 (EIO)
//   LATENTCAST_DISK_FAULT="short 1 0 /tmp/run"    from the first on, every write there takes one byte less
//   than it is
//                                                 asked to
// write, pwrite, fsync, rename, short. What was hit is written to $LATENTCAST_DISK_FAULT_LOG. No C++ library
// is used: programs of any kind may have this in them.

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

struct Fault {
  char kind[16] = "";
  int number = 0, error = 0;
  char folder[PATH_MAX] = "";

  Fault() {
    const char* text = std::getenv("LATENTCAST_DISK_FAULT");
    if (text != nullptr) std::sscanf(text, "%15s %d %d %4095s", kind, &number, &error, folder);
  }
  bool is(const char* what) const { return std::strcmp(kind, what) == 0; }
};

const Fault& fault() {
  static const Fault wanted;
  return wanted;
}

std::atomic<int> calls{0};

void tell(const char* path) {
  const char* log = std::getenv("LATENTCAST_DISK_FAULT_LOG");
  if (log == nullptr) return;
  const int file = static_cast<int>(syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0666));
  syscall(SYS_write, file, path, std::strlen(path));
  syscall(SYS_write, file, "\n", 1);
  syscall(SYS_close, file);
}

bool under_folder(const char* path) {
  const size_t length = std::strlen(fault().folder);
  return length > 0 && std::strncmp(path, fault().folder, length) == 0;
}

bool path_of(int descriptor, char* path) {
  char link[64];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t size = readlink(link, path, PATH_MAX - 1);
  path[size > 0 ? size : 0] = 0;
  return size > 0;
}

/// Whether this call is to fail; errno is set then.
bool strikes(const char* kind, const char* path) {
  if (!fault().is(kind) || !under_folder(path) || ++calls != fault().number) return false;
  tell(path);
  errno = fault().error;
  return true;
}

bool strikes(const char* kind, int descriptor) {
  char path[PATH_MAX];
  return fault().is(kind) && path_of(descriptor, path) && strikes(kind, path);
}

size_t shortened(int descriptor, size_t size) {
  char path[PATH_MAX];
  if (!fault().is("short") || size < 2 || !path_of(descriptor, path) || !under_folder(path)) return size;
  if (++calls == fault().number) tell(path);
  return calls >= fault().number ? size - 1 : size;
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t size) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  return strikes("write", descriptor) ? -1 : real(descriptor, bytes, shortened(descriptor, size));
}

ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return strikes("pwrite", descriptor) ? -1 : real(descriptor, bytes, shortened(descriptor, size), offset);
}

ssize_t pwrite64(int descriptor, const void* bytes, size_t size, off64_t offset) {
  return pwrite(descriptor, bytes, size, offset);
}

int fsync(int descriptor) {
  static const auto real = next<int (*)(int)>("fsync");
  return strikes("fsync", descriptor) ? -1 : real(descriptor);
}

int rename(const char* from, const char* to) {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  return strikes("rename", to) ? -1 : real(from, to);
}

}  // extern "C"
