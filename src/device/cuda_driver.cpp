#include "cuda_driver.h"

#include <memory>

#include <dlfcn.h>
#include <stdlib.h>

namespace latentcast {
namespace {

struct CloseLibrary {
  void operator()(void* handle) const { dlclose(handle); }
};

/// A function of the CUDA driver API by its name; all used here return 0 when they worked.
template <typename... Args>
int call(void* library, const char* name, Args... args) {
  using Function = int (*)(Args...);
  const auto function = reinterpret_cast<Function>(dlsym(library, name));
  return function == nullptr ? -1 : function(args...);
}

}  // namespace

std::vector<std::string> visible_gpus() {
  const std::unique_ptr<void, CloseLibrary> library(dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL));
  // Stages, gathers, links and decoding have streams of their own; with the default of 8 queues they would
  // wait for one another. Read by CUDA when it starts; the user's own value counts.
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", /*overwrite=*/0);
  int count = 0;
  if (!library || call(library.get(), "cuInit", 0u) != 0 ||
      call(library.get(), "cuDeviceGetCount", &count) != 0) {
    return {};
  }
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    char name[256] = "unknown GPU";
    int device = 0;
    if (call(library.get(), "cuDeviceGet", &device, i) == 0) {
      call(library.get(), "cuDeviceGetName", &name[0], static_cast<int>(sizeof name), device);
    }
    names.emplace_back(name);
  }
  return names;
}

}  // namespace latentcast
