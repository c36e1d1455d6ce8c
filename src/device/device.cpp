#include "latentcast/device/device.h"

#include "cuda_driver.h"
#include "kernels_library.h"
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/SDPBackend.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include "latentcast/beside_program.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

void load_cuda_half() {
  // Never closed: LibTorch registers its kernels in it.
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* reason = dlerror();
    throw InternalError(std::string("LibTorch's CUDA library can't be loaded: ") +
                        (reason ? reason : "no reason given") +
                        "; install the CUDA build of PyTorch 2.11 or use --device cpu");
  }
}

/// Registers our kernels with LibTorch.
void load_cuda_kernels() {
  // Never closed, for the same reason.
  if (dlopen(beside_program(kKernelsLibrary).c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
    const char* reason = dlerror();
    throw InternalError(
        std::string("this build computes on CPUs only, its CUDA kernels can't be loaded: ") +
        (reason ? reason : "no reason given") +
        "; build again where nvcc of CUDA 13 is found (on PATH or in /usr/local/cuda), or use "
        "--device cpu");
  }
}

void prefer_exact_and_fast() {
  at::globalContext().setAllowTF32CuDNN(false);
  const auto priority = [](at::SDPBackend backend) { return static_cast<int64_t>(backend); };
  at::globalContext().setSDPPriorityOrder(
      {priority(at::SDPBackend::cudnn_attention), priority(at::SDPBackend::flash_attention),
       priority(at::SDPBackend::efficient_attention), priority(at::SDPBackend::math)});
  // Convolution algorithms are not chosen by timing: another choice in another run would give other bits.
  at::globalContext().setBenchmarkCuDNN(false);
}

at::ScalarType choose_type(const std::string& dtype, bool cuda) {
  if (dtype == "auto") {
    return cuda ? at::kBFloat16 : at::kFloat;
  }
  return dtype == "bf16" ? at::kBFloat16 : at::kFloat;
}

c10::DeviceAllocator* allocator_of(const ComputeDevice& device) {
  // Before its first tensor the allocator knows no device, and a rank may have none yet.
  at::globalContext().lazyInitDevice(device.device.type());
  return c10::getDeviceAllocator(device.device.type());
}

}  // namespace

ComputeDevice select_device(const std::string& device, const std::string& dtype, int threads,
                            const GpuChoice& choose) {
  set_compute_threads(threads);
  ComputeDevice chosen;
  const std::vector<std::string> gpus = device == "cpu" ? std::vector<std::string>() : visible_gpus();
  if (device == "cuda" && gpus.empty()) {
    throw InputError(
        "--device cuda: the driver shows no GPU to this process; check nvidia-smi and "
        "CUDA_VISIBLE_DEVICES, or use --device cpu");
  }
  if (gpus.empty()) {
    chosen.name = "CPU, " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  } else {
    load_cuda_half();
    load_cuda_kernels();
    prefer_exact_and_fast();
    const int index = choose(static_cast<int>(gpus.size()));
    chosen.device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
    chosen.name = gpus.at(static_cast<size_t>(index));
    c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).setDevice(chosen.device);
  }
  chosen.dtype = choose_type(dtype, chosen.is_cuda());
  return chosen;
}

void set_compute_threads(int threads) {
  if (threads > 0) {
    at::set_num_threads(threads);
  }
}

void synchronize(const ComputeDevice& device) {
  if (device.is_cuda()) {
    at::detail::getCUDAHooks().deviceSynchronize(device.device.index());
  }
}

int64_t peak_device_bytes(const ComputeDevice& device) {
  if (!device.is_cuda()) {
    return 0;
  }
  const auto stats = allocator_of(device)->getDeviceStats(device.device.index());
  return stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak +
         kernels_function<int64_t()>("latentcast_peak_mapped_bytes")();
}

void reset_peak_device_bytes(const ComputeDevice& device) {
  if (device.is_cuda()) {
    allocator_of(device)->resetPeakStats(device.device.index());
    kernels_function<void()>("latentcast_reset_peak_mapped_bytes")();
  }
}

void release_cached_memory(const ComputeDevice& device) {
  if (device.is_cuda()) {
    allocator_of(device)->emptyCache();
  }
}

}  // namespace latentcast
