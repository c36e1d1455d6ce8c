#include "nvml.h"

#include <vector>

#include <dlfcn.h>
#include <unistd.h>

namespace latentcast {
namespace {

constexpr int kTooSmall = 7;  // NVML_ERROR_INSUFFICIENT_SIZE

/// nvmlProcessInfo_t
struct Process {
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance, compute_instance;
};

/// nvmlMemory_v2_t
struct Memory {
  unsigned version = sizeof(Memory) | 2u << 24;
  unsigned long long total = 0, reserved = 0, free = 0, used = 0;
};

template <typename... Args>
int call(void* library, const char* name, Args... args) {
  using Function = int (*)(Args...);
  const auto function = reinterpret_cast<Function>(dlsym(library, name));
  return function == nullptr ? -1 : function(args...);
}

/// NVML counts all GPUs of the machine, CUDA those that the process sees: their place on the bus is common.
std::string bus_id(int index) {
  void* const cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (cuda == nullptr) return {};
  char id[32] = "";
  int device = 0;
  const bool known = call(cuda, "cuDeviceGet", &device, index) == 0 &&
                     call(cuda, "cuDeviceGetPCIBusId", &id[0], static_cast<int>(sizeof id), device) == 0;
  dlclose(cuda);
  return known ? id : "";
}

}  // namespace

std::unique_ptr<Nvml> Nvml::open(int index) {
  const std::string id = bus_id(index);
  void* const library = id.empty() ? nullptr : dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  void* device = nullptr;
  if (call(library, "nvmlInit_v2") != 0) {
    dlclose(library);
    return nullptr;
  }
  if (call(library, "nvmlDeviceGetHandleByPciBusId_v2", id.c_str(), &device) != 0) {
    call(library, "nvmlShutdown");
    dlclose(library);
    return nullptr;
  }
  return std::unique_ptr<Nvml>(new Nvml(library, device));
}

Nvml::~Nvml() {
  call(library_, "nvmlShutdown");
  dlclose(library_);
}

int64_t Nvml::process_bytes() const {
  std::vector<Process> processes(32);
  for (int attempt = 0; attempt < 3; ++attempt) {
    auto count = static_cast<unsigned>(processes.size());
    const int result =
        call(library_, "nvmlDeviceGetComputeRunningProcesses_v3", device_, &count, processes.data());
    if (result == kTooSmall) {
      processes.resize(2 * (count + 1));
      continue;
    }
    if (result != 0) return -1;
    processes.resize(count);
    for (const Process& process : processes) {
      const bool known = process.bytes != ~0ull;
      if (known && process.pid == static_cast<unsigned>(getpid())) return static_cast<int64_t>(process.bytes);
    }
    return -1;
  }
  return -1;
}

int64_t Nvml::device_bytes() const {
  Memory memory;
  if (call(library_, "nvmlDeviceGetMemoryInfo_v2", device_, &memory) != 0) return -1;
  return static_cast<int64_t>(memory.used);
}

int64_t Nvml::total_bytes() const {
  Memory memory;
  const int result = call(library_, "nvmlDeviceGetMemoryInfo_v2", device_, &memory);
  return result == 0 ? static_cast<int64_t>(memory.total - memory.reserved) : 0;
}

}  // namespace latentcast
