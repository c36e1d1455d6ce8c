#pragma once

#include <string>

#include <dlfcn.h>

#include "latentcast/beside_program.h"
#include "latentcast/error.h"

namespace latentcast {

inline constexpr const char* kKernelsLibrary = "liblatentcast_cuda_kernels.so";

/// A function of the kernels' library, which is loaded if a GPU was chosen: it counts and bounds the memory
/// that LibTorch's allocator doesn't know.
template <typename Function>
Function* kernels_function(const char* name) {
  void* const library = dlopen(beside_program(kKernelsLibrary).c_str(), RTLD_NOW | RTLD_NOLOAD);
  void* const found = library == nullptr ? nullptr : dlsym(library, name);
  if (found == nullptr) throw InternalError(std::string(kKernelsLibrary) + " has no " + name);
  return reinterpret_cast<Function*>(found);
}

}  // namespace latentcast
