#include "memory_limit.h"

#include <algorithm>
#include <mutex>

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

namespace latentcast::cuda {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

/// Of the GPU that this process computes on.
struct Ledger {
  std::mutex mutex;
  int64_t mapped = 0, peak = 0;
  int device = -1;
  int64_t limit = -1;

  /// With the mutex held.
  void tell_allocator() const {
    if (device < 0) return;
    // LibTorch asks CUDA how much the current GPU has.
    const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
    size_t free = 0, total = 0;
    if (cudaMemGetInfo(&free, &total) != cudaSuccess || total == 0) return;
    const double part = limit < 0 ? 1.0 : static_cast<double>(limit - mapped) / static_cast<double>(total);
    allocator::setMemoryFraction(std::clamp(part, 0.0, 1.0), static_cast<c10::DeviceIndex>(device));
  }
};

Ledger& ledger() {
  static Ledger ledger;
  return ledger;
}

}  // namespace

int64_t mapped_bytes() {
  const std::lock_guard lock(ledger().mutex);
  return ledger().mapped;
}

int64_t peak_mapped_bytes() {
  const std::lock_guard lock(ledger().mutex);
  return ledger().peak;
}

void reset_peak_mapped_bytes() {
  const std::lock_guard lock(ledger().mutex);
  ledger().peak = ledger().mapped;
}

void count_mapped(int64_t bytes) {
  Ledger& all = ledger();
  const std::lock_guard lock(all.mutex);
  all.mapped += bytes;
  all.peak = std::max(all.peak, all.mapped);
  if (all.limit >= 0) all.tell_allocator();
}

bool fits_limit(int device, size_t bytes) {
  Ledger& all = ledger();
  const std::lock_guard lock(all.mutex);
  if (all.limit < 0 || all.device != device) return true;
  const auto stats = allocator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
  const int64_t reserved =
      stats.reserved_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].current;
  return reserved + all.mapped + static_cast<int64_t>(bytes) <= all.limit;
}

void limit_memory(int device, int64_t bytes) {
  Ledger& all = ledger();
  const std::lock_guard lock(all.mutex);
  all.device = device;
  all.limit = bytes;
  all.tell_allocator();
}

}  // namespace latentcast::cuda

/// For src/device, which counts and bounds memory: LibTorch's allocator doesn't know of mapped pieces.
extern "C" int64_t latentcast_mapped_bytes() { return latentcast::cuda::mapped_bytes(); }
extern "C" int64_t latentcast_peak_mapped_bytes() { return latentcast::cuda::peak_mapped_bytes(); }
extern "C" void latentcast_reset_peak_mapped_bytes() { latentcast::cuda::reset_peak_mapped_bytes(); }
extern "C" void latentcast_limit_memory(int device, int64_t bytes) {
  latentcast::cuda::limit_memory(device, bytes);
}
