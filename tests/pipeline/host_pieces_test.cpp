#include "latentcast/pipeline/host_pieces.h"

#include <chrono>
#include <thread>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"
#include "latentcast/pipeline/cache_setup.h"

namespace latentcast {
namespace {

TEST(HostPieces, ComeBackAndAreLentAgain) {
  HostPieces pieces({}, {});
  pieces.reserve(1000, 2);
  at::Tensor first = pieces.take(1000);
  const at::Tensor second = pieces.take(1000);
  EXPECT_EQ(first.sizes(), at::IntArrayRef({1000}));
  first.fill_(1);
  second.fill_(2);
  EXPECT_TRUE((first == 1).all().item<bool>()) << "pieces lie apart";
  const void* const place = first.data_ptr();
  first.reset();
  EXPECT_EQ(pieces.take(1000).data_ptr(), place);
  EXPECT_THROW(pieces.take(100000), InternalError) << "a size that wasn't reserved";
}

TEST(HostPieces, WhoeverTakesWaitsForOneToComeBack) {
  int steps = 0;
  HostPieces pieces({}, [&] { ++steps; });
  pieces.reserve(64, 1);
  at::Tensor held = pieces.take(64);
  const void* const place = held.data_ptr();
  std::thread writer([held = std::move(held)]() mutable {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    held.reset();
  });
  EXPECT_EQ(pieces.take(64).data_ptr(), place);
  writer.join();
  EXPECT_GE(steps, 1);
}

TEST(HostPieces, MoreAreReservedBeside) {
  HostPieces pieces({}, {});
  pieces.reserve(64, 1);
  pieces.reserve_beside(64, 3);
  EXPECT_EQ(pieces.reserved_beside(), 3);
  EXPECT_EQ(pieces.reserved_beside(), 0) << "told once";
  const std::vector<at::Tensor> all = {pieces.take(64), pieces.take(64), pieces.take(64), pieces.take(64)};
  EXPECT_EQ(all.size(), 4u);
}

TEST(HostPieces, OutliveTheirOwner) {
  at::Tensor piece;
  {
    HostPieces pieces({}, {});
    pieces.reserve(64, 1);
    piece = pieces.take(64);
  }
  piece.fill_(3);
  EXPECT_EQ(piece.sum().item<int64_t>(), 3 * 64);
}

TEST(HostShortage, IsToldWithFiguresForAllRanksOfAHost) {
  const CacheBytes bytes{0, 20'000'000'000};
  EXPECT_EQ(host_shortage(bytes, 2, 40'000'000'000), "");
  EXPECT_THAT(host_shortage(bytes, 2, 39'000'000'000),
              testing::AllOf(testing::HasSubstr("20.00 GB of host memory a rank"),
                             testing::HasSubstr("2 ranks run on this host"), testing::HasSubstr("39.00 GB")));
}

}  // namespace
}  // namespace latentcast
