// What is told of a GPU's memory where there is none; kernel_check has the rest.
#include "latentcast/device/gpu_memory.h"

#include <gtest/gtest.h>

namespace latentcast {
namespace {

TEST(GpuMemory, IsNoneOnACpu) {
  const ComputeDevice cpu;
  GpuMemoryMeter meter(cpu);
  EXPECT_EQ(meter.way(), "none");
  meter.keep_within(1, 0);  // bounds nothing
  const DeviceMemory memory = device_memory(cpu);
  EXPECT_EQ(memory.peak_reserved + memory.peak_mapped + memory.tensors, 0);
  EXPECT_EQ(meter.now() + meter.peak() + meter.total(), 0);
}

}  // namespace
}  // namespace latentcast
