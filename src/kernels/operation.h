#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace latentcast {

/// An operation that is registered with LibTorch under "latentcast::NAME": the CPU's kernel by the file that
/// calls this, CUDA's by liblatentcast_cuda_kernels.so, once that is loaded.
template <typename Signature>
c10::TypedOperatorHandle<Signature> operation(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

}  // namespace latentcast
