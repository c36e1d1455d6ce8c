#include "latentcast/device/gpu_memory.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "kernels_library.h"
#include "nvml.h"
#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>

namespace latentcast {
namespace {

constexpr std::chrono::milliseconds kBetweenReadings(50);

const c10::CachingAllocator::Stat& all_of(const c10::CachingAllocator::StatArray& stats) {
  return stats[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
}

}  // namespace

DeviceMemory device_memory(const ComputeDevice& device) {
  DeviceMemory memory;
  if (!device.is_cuda()) return memory;
  at::globalContext().lazyInitDevice(device.device.type());
  const auto stats = c10::getDeviceAllocator(device.device.type())->getDeviceStats(device.device.index());
  memory.tensors = all_of(stats.allocated_bytes).current;
  memory.peak_tensors = all_of(stats.allocated_bytes).peak;
  memory.reserved = all_of(stats.reserved_bytes).current;
  memory.peak_reserved = all_of(stats.reserved_bytes).peak;
  memory.mapped = kernels_function<int64_t()>("latentcast_mapped_bytes")();
  memory.peak_mapped = kernels_function<int64_t()>("latentcast_peak_mapped_bytes")();
  return memory;
}

void limit_device_memory(const ComputeDevice& device, int64_t bytes) {
  if (!device.is_cuda()) return;
  at::globalContext().lazyInitDevice(device.device.type());
  kernels_function<void(int, int64_t)>("latentcast_limit_memory")(device.device.index(), bytes);
}

struct GpuMemoryMeter::State {
  ComputeDevice device;
  std::unique_ptr<Nvml> nvml;
  std::mutex mutex;
  std::condition_variable changed;
  bool closed = false, by_process = false;
  int64_t peak = 0, limit = -1, outside = 0;
  int64_t last = 0, found_before = 0;
  std::thread thread;

  /// With the mutex held. A process is named from its first use of the GPU on.
  int64_t read() {
    const int64_t own = nvml->process_bytes();
    if (own >= 0 && !by_process) {
      by_process = true;
      peak = 0;  // what others have doesn't count
    }
    last = own < 0 && !by_process ? std::max<int64_t>(nvml->device_bytes(), 0) : (own < 0 ? last : own);
    peak = std::max(peak, last);
    return last;
  }

  void apply() { limit_device_memory(device, limit < 0 ? -1 : std::max<int64_t>(limit - outside, 0)); }

  /// What modules and links have come to take meanwhile is no longer there for tensors. Tensors come and go
  /// between the readings: only what two of them in a row agree on counts.
  void follow() {
    const DeviceMemory before = device_memory(device);
    const int64_t all = read();
    const DeviceMemory ours = device_memory(device);
    if (limit < 0 || before.reserved != ours.reserved || before.mapped != ours.mapped) return;
    const int64_t found = all - ours.reserved - ours.mapped;
    if (const int64_t sure = std::min(found, found_before); sure > outside) {
      outside = sure;
      apply();
    }
    found_before = found;
  }

  void watch() {
    std::unique_lock lock(mutex);
    while (!closed) {
      follow();
      changed.wait_for(lock, kBetweenReadings);
    }
  }
};

GpuMemoryMeter::GpuMemoryMeter(const ComputeDevice& device) : device_(device) {
  std::unique_ptr<Nvml> nvml = device.is_cuda() ? Nvml::open(device.device.index()) : nullptr;
  if (!nvml) return;
  state_ = std::make_unique<State>();
  state_->device = device;
  state_->nvml = std::move(nvml);
  state_->thread = std::thread([this] { state_->watch(); });
}

GpuMemoryMeter::~GpuMemoryMeter() {
  if (!state_) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->closed = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

int64_t GpuMemoryMeter::now() const {
  if (!state_) return 0;
  const std::lock_guard lock(state_->mutex);
  return state_->read();
}

int64_t GpuMemoryMeter::peak() const {
  if (!state_) return 0;
  const std::lock_guard lock(state_->mutex);
  state_->read();
  return state_->peak;
}

void GpuMemoryMeter::reset_peak() {
  if (!state_) return;
  const std::lock_guard lock(state_->mutex);
  state_->peak = 0;
  state_->read();
}

int64_t GpuMemoryMeter::total() const { return state_ ? state_->nvml->total_bytes() : 0; }

std::string GpuMemoryMeter::way() const {
  if (!state_) return "none";
  const std::lock_guard lock(state_->mutex);
  return state_->by_process ? "process" : "device";
}

void GpuMemoryMeter::keep_within(int64_t bytes, int64_t outside) {
  if (!state_) {
    limit_device_memory(device_, bytes < 0 ? -1 : std::max<int64_t>(bytes - outside, 0));
    return;
  }
  const std::lock_guard lock(state_->mutex);
  state_->limit = bytes;
  state_->outside = outside;
  state_->apply();
}

}  // namespace latentcast
