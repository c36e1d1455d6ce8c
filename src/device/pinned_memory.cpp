#include <cerrno>
#include <memory>

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <sys/mman.h>

#include "latentcast/device/device.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace latentcast {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kSmallPage = 4096;

/// Has the system give all pages now: pinning pages that are there is ten times as fast.
bool touch(char* memory, int64_t bytes) {
  if (::madvise(memory, static_cast<size_t>(bytes), MADV_POPULATE_WRITE) == 0) return true;
  if (errno != EINVAL) return false;  // else a kernel before 5.14
  for (int64_t at = 0; at < bytes; at += kSmallPage) {
    static_cast<volatile char*>(memory)[at] = 0;
  }
  return true;
}

constexpr unsigned kForAllGpus = 1;  // cudaHostRegisterPortable

/// A function of CUDA's runtime, which LibTorch's CUDA half has brought along; 0 if it worked. The driver's
/// own would want a context that is current in this thread.
template <typename... Args>
int runtime(const char* name, Args... args) {
  const auto function = reinterpret_cast<int (*)(Args...)>(dlsym(RTLD_DEFAULT, name));
  return function == nullptr ? -1 : function(args...);
}

}  // namespace

at::Tensor pinned_host_memory(const ComputeDevice& device, int64_t bytes) {
  const int64_t size = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  // One more, so that huge pages fit.
  const auto mapped = static_cast<size_t>(size + kHugePage);
  void* mapping =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return {};
  void* place = mapping;
  size_t space = mapped;
  std::align(kHugePage, static_cast<size_t>(size), place, space);
  ::madvise(place, static_cast<size_t>(size), MADV_HUGEPAGE);  // a wish
  if (!touch(static_cast<char*>(place), size)) {
    ::munmap(mapping, mapped);
    return {};
  }
  c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).setDevice(device.device);
  const bool pinned = runtime("cudaHostRegister", place, static_cast<size_t>(size), kForAllGpus) == 0;
  if (!pinned) {
    runtime("cudaGetLastError");  // else the next operation would report it
  }
  const auto give_back = [mapping, mapped, pinned](void* memory) {
    if (pinned) runtime("cudaHostUnregister", memory);
    ::munmap(mapping, mapped);
  };
  return at::from_blob(place, {bytes}, give_back, at::TensorOptions().dtype(at::kByte));
}

}  // namespace latentcast
