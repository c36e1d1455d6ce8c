#include <cerrno>
#include <memory>

#include "cuda_driver.h"
#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
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
  c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).setDevice(device.device);
  if (!touch(static_cast<char*>(place), size) || !pin_memory(place, size)) {
    ::munmap(mapping, mapped);
    return {};
  }
  const auto give_back = [mapping, mapped](void* memory) {
    unpin_memory(memory);
    ::munmap(mapping, mapped);
  };
  return at::from_blob(place, {bytes}, give_back, at::TensorOptions().dtype(at::kByte));
}

}  // namespace latentcast
