// The ring of buffers between mapped files and a GPU, with a CPU in the GPU's place.
#include "weights/upload.h"

#include <cstring>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

void expect_copied(int64_t bytes, Upload& upload) {
  const at::Tensor from = at::randint(0, 256, {bytes}, at::kByte), to = at::zeros({bytes}, at::kByte);
  const auto* const values = static_cast<const std::byte*>(from.const_data_ptr());
  upload.copy([&](int64_t begin,
                  std::span<std::byte> part) { std::memcpy(part.data(), values + begin, part.size()); },
              to);
  EXPECT_TRUE(from.equal(to)) << bytes;
}

TEST(UploadTest, EveryByteArrivesWhateverTheNumberOfPieces) {
  Upload upload(at::kCPU);
  const int64_t piece = Upload::kPieceBytes, ring = piece * static_cast<int64_t>(Upload::kBuffers);
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, piece - 1, piece, piece + 1, ring, ring + piece + 7}) {
    expect_copied(bytes, upload);
  }
}

TEST(UploadTest, BuffersAreUsedAgain) {
  Upload upload(at::kCPU);
  for (int64_t i = 0; i < 3 * static_cast<int64_t>(Upload::kBuffers); ++i) expect_copied(1000 + i, upload);
}

}  // namespace
}  // namespace latentcast
