#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "latentcast/device/device.h"

namespace latentcast {

/// What this process has of its GPU's memory, in bytes; all 0 on a CPU.
struct DeviceMemory {
  int64_t tensors = 0;   ///< LibTorch's, in use
  int64_t reserved = 0;  ///< LibTorch's, in use or kept for later
  int64_t mapped = 0;    ///< attention caches that LibTorch's allocator doesn't know
  int64_t peak_tensors = 0, peak_reserved = 0, peak_mapped = 0;  ///< since the last reset
};

DeviceMemory device_memory(const ComputeDevice& device);

/// Bounds what LibTorch's allocator and the attention caches take together, from now on: beyond it they give
/// back what they keep for later, then throw c10::OutOfMemoryError. Negative: no bound. Nothing on a CPU.
void limit_device_memory(const ComputeDevice& device, int64_t bytes);

/// Reads what this process takes of its GPU as nvidia-smi shows it, by NVML: tensors, CUDA's context, modules
/// and NCCL's buffers. A thread reads it a few times a second for the peak: LibTorch keeps what it has taken,
/// so little is missed. Nothing is read on a CPU, or where NVML isn't there.
class GpuMemoryMeter {
 public:
  explicit GpuMemoryMeter(const ComputeDevice& device);
  ~GpuMemoryMeter();
  GpuMemoryMeter(const GpuMemoryMeter&) = delete;
  GpuMemoryMeter& operator=(const GpuMemoryMeter&) = delete;

  /// Bytes now; 0 if nothing can be read. Any thread.
  int64_t now() const;
  /// Most bytes since the last reset.
  int64_t peak() const;
  void reset_peak();
  /// What the GPU has; 0 if nothing can be read.
  int64_t total() const;
  /// Whether the bytes are this process's ("process"), or all that is taken of the GPU where NVML names no
  /// processes, as in some containers ("device"); "none" if nothing can be read.
  std::string way() const;

  /// Keeps limit_device_memory() such that all of the process stays within `bytes`: what is neither tensors
  /// nor caches is taken to be `outside` bytes, or what it is found to be if that is more. Negative: no
  /// limit.
  void keep_within(int64_t bytes, int64_t outside);

 private:
  struct State;
  ComputeDevice device_;
  std::unique_ptr<State> state_;  ///< null where nothing is read
};

}  // namespace latentcast
