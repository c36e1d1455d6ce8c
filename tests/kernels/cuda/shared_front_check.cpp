// Tensors whose first rows are one piece of a GPU's memory.
#include "parity.h"
#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <gtest/gtest.h>

#include "latentcast/device/device.h"
#include "latentcast/kernels/shared_front.h"

namespace latentcast::test {
namespace {

TEST(SharedFront, IsOnePieceForAllAndBacksAreTheirOwn) {
  const at::Tensor row = at::empty({3, 20}, at::TensorOptions().dtype(at::kBFloat16).device(gpu()));
  const std::vector<at::Tensor> tensors = tensors_with_shared_front(row, 3, 5, 7);
  for (size_t i = 0; i < tensors.size(); ++i) {
    ASSERT_EQ(tensors[i].sizes(), at::IntArrayRef({12, 3, 20}));
    EXPECT_TRUE(tensors[i].is_contiguous());
    tensors[i].narrow(0, 5, 7).fill_(static_cast<double>(i) + 1);
  }
  tensors[1].narrow(0, 0, 5).fill_(9);
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_TRUE((tensors[i].narrow(0, 0, 5) == 9).all().item<bool>());
    EXPECT_TRUE((tensors[i].narrow(0, 5, 7) == static_cast<double>(i) + 1).all().item<bool>());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensors[i].narrow(0, 5, 7).const_data_ptr()) % (2 << 20), 0u);
  }
}

TEST(SharedFront, IsCountedAndGivenBack) {
  const ComputeDevice device{gpu(), at::kBFloat16, ""};
  const at::Tensor row = at::empty({1 << 20}, at::TensorOptions().dtype(at::kByte).device(gpu()));
  const auto free = [] { return c10::getDeviceAllocator(at::kCUDA)->getMemoryInfo(gpu().index()).first; };
  reset_peak_device_bytes(device);
  const int64_t before = peak_device_bytes(device);
  const size_t free_before = free();
  {
    const std::vector<at::Tensor> tensors = tensors_with_shared_front(row, 4, 64, 16);
    EXPECT_EQ(peak_device_bytes(device) - before, (64 + 4 * 16) << 20);
    EXPECT_GE(free_before - free(), size_t{(64 + 4 * 16) << 20});
  }
  EXPECT_EQ(peak_device_bytes(device) - before, (64 + 4 * 16) << 20) << "the peak stays";
  reset_peak_device_bytes(device);
  EXPECT_EQ(peak_device_bytes(device), before);
  EXPECT_EQ(free(), free_before);
}

TEST(SharedFront, SaysWhenThereIsNoRoom) {
  const at::Tensor row = at::empty({1 << 30}, at::TensorOptions().dtype(at::kByte).device(gpu()));
  EXPECT_THROW(tensors_with_shared_front(row, 1, 1000, 1000), c10::OutOfMemoryError);
}

}  // namespace
}  // namespace latentcast::test
