#pragma once

#include <chrono>
#include <memory>

#include <c10/core/Device.h>

#include "latentcast/comm/communicator.h"

namespace latentcast::test {

/// The kind of communicator that a test program is about, of all its ranks; each program has its own of
/// these.
std::unique_ptr<Communicator> make_group(std::chrono::seconds deadline);
at::Device group_device();
/// Of the same ranks, for CPU tensors.
std::unique_ptr<Communicator> make_cpu_group();

}  // namespace latentcast::test
