#include <utility>

#include <ATen/ATen.h>

#include "latentcast/comm/communicator.h"

namespace latentcast {
namespace {

class GatheredShares final : public PeerShares {
 public:
  using PeerShares::launch_gather;

  GatheredShares(Communicator& group, const at::Tensor& share, std::string way, std::string refusal)
      : group_(group), share_(share), way_(std::move(way)), refusal_(std::move(refusal)) {}

  std::unique_ptr<Transfer> launch_gather(int64_t begin, int64_t count, const at::Tensor& all,
                                          OwnPart) override {
    const int64_t before = group_.bytes_gathered();
    auto transfer = group_.launch_all_gather(share_.narrow(0, begin, count), all);
    bytes_gathered_ += group_.bytes_gathered() - before;
    return transfer;
  }

  bool is_collective() const override { return true; }
  std::string way() const override { return way_; }
  std::string refusal() const override { return refusal_; }
  int64_t bytes_gathered() const override { return bytes_gathered_; }

 private:
  Communicator& group_;
  at::Tensor share_;
  std::string way_, refusal_;
  int64_t bytes_gathered_ = 0;
};

}  // namespace

std::unique_ptr<Transfer> PeerShares::launch_gather(int64_t begin, int64_t count, const at::Tensor& all) {
  return launch_gather(begin, count, all, {count, 0});
}

std::unique_ptr<PeerShares> share_by_all_gathers(Communicator& group, const at::Tensor& share,
                                                 std::string way, std::string refusal) {
  return std::make_unique<GatheredShares>(group, share, std::move(way), std::move(refusal));
}

std::unique_ptr<PeerShares> Communicator::publish(const at::Tensor& share, GatherWay) {
  return share_by_all_gathers(*this, share, "all-gather");
}

}  // namespace latentcast
