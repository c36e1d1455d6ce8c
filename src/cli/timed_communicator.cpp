#include "timed_communicator.h"

namespace latentcast {
namespace {

class TimedTransfer : public Transfer {
 public:
  TimedTransfer(std::unique_ptr<Transfer> inner, WaitKind kind, WaitLog& log)
      : inner_(std::move(inner)), kind_(kind), log_(log) {}

  bool test() override { return inner_->test(); }
  void finish() override {
    log_.time(kind_, [this] { inner_->finish(); });
  }

 private:
  std::unique_ptr<Transfer> inner_;
  WaitKind kind_;
  WaitLog& log_;
};

/// Its gathers' waits are logged.
class TimedShares : public PeerShares {
 public:
  TimedShares(std::unique_ptr<PeerShares> inner, WaitLog& log) : inner_(std::move(inner)), log_(log) {}

  using PeerShares::launch_gather;
  std::unique_ptr<Transfer> launch_gather(int64_t begin, int64_t count, const at::Tensor& all,
                                          OwnPart own) override {
    return std::make_unique<TimedTransfer>(inner_->launch_gather(begin, count, all, own), WaitKind::kGather,
                                           log_);
  }
  bool is_collective() const override { return inner_->is_collective(); }
  std::string way() const override { return inner_->way(); }
  std::string refusal() const override { return inner_->refusal(); }
  int64_t bytes_gathered() const override { return inner_->bytes_gathered(); }

 private:
  std::unique_ptr<PeerShares> inner_;
  WaitLog& log_;
};

}  // namespace

std::unique_ptr<Transfer> TimedCommunicator::timed(std::unique_ptr<Transfer> transfer, WaitKind kind) const {
  return std::make_unique<TimedTransfer>(std::move(transfer), kind, log_);
}

std::unique_ptr<Transfer> TimedCommunicator::launch_send(const at::Tensor& tensor, int to) {
  return timed(inner_.launch_send(tensor, to), WaitKind::kSend);
}

std::unique_ptr<Transfer> TimedCommunicator::launch_receive(const at::Tensor& tensor, int from) {
  return timed(inner_.launch_receive(tensor, from), WaitKind::kReceive);
}

Exchange TimedCommunicator::launch_exchange(const std::vector<Message>& sends,
                                            const std::vector<Message>& receives) {
  Exchange exchange = inner_.launch_exchange(sends, receives);
  for (auto& send : exchange.sends) {
    send = timed(std::move(send), WaitKind::kSend);
  }
  for (auto& receive : exchange.receives) {
    receive = timed(std::move(receive), WaitKind::kReceive);
  }
  return exchange;
}

std::unique_ptr<Transfer> TimedCommunicator::launch_all_gather(const at::Tensor& part,
                                                               const at::Tensor& all) {
  return timed(inner_.launch_all_gather(part, all), WaitKind::kGather);
}

std::unique_ptr<PeerShares> TimedCommunicator::publish(const at::Tensor& share, GatherWay way) {
  return std::make_unique<TimedShares>(inner_.publish(share, way), log_);
}

std::unique_ptr<Communicator> TimedCommunicator::split(int color) {
  auto group = inner_.split(color);
  return group ? std::make_unique<TimedCommunicator>(std::move(group), log_) : nullptr;
}

}  // namespace latentcast
