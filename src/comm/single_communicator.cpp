#include "tensor_check.h"
#include <ATen/core/Tensor.h>

#include "latentcast/comm/communicator.h"

namespace latentcast {
namespace {

class DoneTransfer final : public Transfer {
 public:
  bool test() override { return true; }
  void finish() override {}
};

class SingleCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }

  std::unique_ptr<Transfer> launch_send(const at::Tensor&, int to) override {
    check_peer(to, 0, 1, "send");
    return nullptr;
  }
  std::unique_ptr<Transfer> launch_receive(const at::Tensor&, int from) override {
    check_peer(from, 0, 1, "receive");
    return nullptr;
  }
  std::unique_ptr<Transfer> launch_all_gather(const at::Tensor& part, const at::Tensor& all) override {
    check_tensor(part, part.device().type(), "all-gather");
    check_tensor(all, part.device().type(), "all-gather");
    check_all_gather(part, all, 1);
    if (part.data_ptr() != all.data_ptr()) {
      all.view(-1).copy_(part.view(-1));
    }
    return std::make_unique<DoneTransfer>();
  }

  void broadcast(const at::Tensor& tensor, int root) override {
    check_tensor(tensor, tensor.device().type(), "broadcast");
    check_root(root, 1);
  }
  void barrier() override {}
  std::unique_ptr<Communicator> split(int color) override {
    return color < 0 ? nullptr : make_single_communicator();
  }

  int64_t bytes_gathered() const override { return 0; }
  int64_t bytes_sent() const override { return 0; }
};

}  // namespace

std::unique_ptr<Communicator> make_single_communicator() { return std::make_unique<SingleCommunicator>(); }

}  // namespace latentcast
