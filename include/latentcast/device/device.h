#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

namespace latentcast {

/// Where and in what type the networks compute.
struct ComputeDevice {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;

  bool is_cuda() const { return device.is_cuda(); }
  std::string name;  ///< for people: "CPU, 2 threads", "NVIDIA H100 80GB HBM3"
};

/// Which of the GPUs that this process sees it takes, by their number.
using GpuChoice = std::function<int(int visible_gpus)>;

/// device: "auto" (a GPU if there is one), "cpu" or "cuda"; dtype: "auto" (bf16 on a GPU, float32 on a CPU),
/// "float32" or "bf16". Loads CUDA's half of LibTorch and our own kernels if a GPU is wanted: a program on a
/// CPU starts without them. Makes the GPU the calling thread's current one and sets its number of threads,
/// which every thread that computes must do for itself (set_compute_threads()). Throws InputError if a GPU is
/// asked for and there is none, InternalError if there is one and the program was built without kernels for
/// it.
ComputeDevice select_device(
    const std::string& device, const std::string& dtype, int threads,
    const GpuChoice& choose = [](int) { return 0; });

/// For every thread that computes on a CPU: results depend on the number of threads, and the setting is the
/// thread's.
void set_compute_threads(int threads);

/// Waits until the device has done what it was given. Nothing to do on a CPU.
void synchronize(const ComputeDevice& device);

/// [bytes] uint8 of host memory that a GPU copies to and from at full speed: pinned, if the system allows that.
/// Undefined if there isn't so much. Any thread. Takes a second for 5 GB, but holds other threads' work up for
/// much less (CUDA's own allocation would, for all of that time).
at::Tensor pinned_host_memory(const ComputeDevice& device, int64_t bytes);

/// Most bytes that tensors took on the device since the last reset, attention caches (which LibTorch's
/// allocator doesn't know) included; 0 on a CPU.
int64_t peak_device_bytes(const ComputeDevice& device);
void reset_peak_device_bytes(const ComputeDevice& device);

/// Gives cached, unused device memory back.
void release_cached_memory(const ComputeDevice& device);

}  // namespace latentcast
