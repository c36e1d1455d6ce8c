#pragma once

#include <memory>

#include "wait_log.h"

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// Another communicator, whose transfers' waits are logged.
class TimedCommunicator : public Communicator {
 public:
  /// Both are borrowed.
  TimedCommunicator(Communicator& inner, WaitLog& log) : inner_(inner), log_(log) {}
  TimedCommunicator(std::unique_ptr<Communicator> inner, WaitLog& log)
      : owned_(std::move(inner)), inner_(*owned_), log_(log) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::unique_ptr<Transfer> launch_send(const at::Tensor& tensor, int to) override;
  std::unique_ptr<Transfer> launch_receive(const at::Tensor& tensor, int from) override;
  Exchange launch_exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) override;
  std::unique_ptr<Transfer> launch_all_gather(const at::Tensor& part, const at::Tensor& all) override;
  std::unique_ptr<PeerShares> publish(const at::Tensor& share, GatherWay way) override;
  void broadcast(const at::Tensor& tensor, int root) override { inner_.broadcast(tensor, root); }
  void barrier() override { inner_.barrier(); }
  std::unique_ptr<Communicator> split(int color) override;
  int64_t bytes_gathered() const override { return inner_.bytes_gathered(); }
  int64_t bytes_sent() const override { return inner_.bytes_sent(); }
  Carrier carrier() const override { return inner_.carrier(); }
  RankActivity* activity() const override { return inner_.activity(); }

 private:
  std::unique_ptr<Transfer> timed(std::unique_ptr<Transfer> transfer, WaitKind kind) const;

  std::unique_ptr<Communicator> owned_;
  Communicator& inner_;
  WaitLog& log_;
};

}  // namespace latentcast
