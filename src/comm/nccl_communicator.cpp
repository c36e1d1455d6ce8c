#include "nccl_communicator.h"

#include <utility>

#include "ipc_post.h"
#include "ipc_shares.h"
#include "nccl_group.h"
#include "tensor_check.h"
#include "wait.h"
#include <ATen/ATen.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

class NcclTransfer final : public Transfer {
 public:
  NcclTransfer(std::shared_ptr<NcclGroup> group, const NcclLink& link, std::shared_ptr<CudaEvent> end)
      : group_(std::move(group)), link_(link), end_(std::move(end)) {}

  bool test() override {
    link_.check();
    return end_->done();
  }
  void finish() override {
    link_.check();
    end_->let_wait(c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(group_->device())));
  }

 private:
  std::shared_ptr<NcclGroup> group_;  ///< owns the link
  const NcclLink& link_;
  std::shared_ptr<CudaEvent> end_;
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::shared_ptr<NcclGroup> group, NcclStart start)
      : group_(std::move(group)),
        cpu_(std::move(start.cpu)),
        deadline_(start.deadline),
        at_abort_(std::move(start.at_abort)),
        direct_(start.direct) {
    if (direct_) {
      const auto note = [group = group_.get()](const Operation& operation, std::shared_ptr<CudaEvent> end) {
        group->remember(operation, std::move(end));
      };
      post_ = IpcPost::open(*cpu_, group_->peers(), group_->device(), deadline_, note, refusal_);
    }
    at_abort_([weak = std::weak_ptr<NcclGroup>(group_)] {
      if (const std::shared_ptr<NcclGroup> held = weak.lock()) {
        held->abort();
      }
    });
  }
  ~NcclCommunicator() override {
    post_.reset();
    const bool failing = std::uncaught_exceptions() > 0;
    if (!ended_) {
      end_group(group_, failing ? std::chrono::nanoseconds(0) : deadline_);
    }
  }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }

  std::unique_ptr<Transfer> launch_send(const at::Tensor& tensor, int to) override;
  std::unique_ptr<Transfer> launch_receive(const at::Tensor& tensor, int from) override;
  Exchange launch_exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) override;
  std::unique_ptr<Transfer> launch_all_gather(const at::Tensor& part, const at::Tensor& all) override;
  std::unique_ptr<PeerShares> publish(const at::Tensor& share, GatherWay way) override;
  void broadcast(const at::Tensor& tensor, int root) override;
  void barrier() override;
  std::unique_ptr<Communicator> split(int color) override;

  Carrier carrier() const override { return {post_ ? "copy engines" : "nccl", refusal_}; }
  RankActivity* activity() const override { return cpu_->activity(); }
  int64_t bytes_gathered() const override { return bytes_gathered_; }
  int64_t bytes_sent() const override { return bytes_sent_; }

 private:
  /// Puts an operation of NCCL's on the link's stream, behind all that the current stream has been given so
  /// far.
  template <typename Enqueue>
  std::unique_ptr<Transfer> launch(NcclLink& link, const Operation& operation,
                                   const std::vector<at::Tensor>& tensors, const Enqueue& enqueue);
  void queue_up(NcclLink& link) const;
  std::unique_ptr<Transfer> launched(NcclLink& link, const Operation& operation,
                                     const std::vector<at::Tensor>& tensors);
  Exchange launch_by_post(const std::vector<Message>& sends, const std::vector<Message>& receives);
  void enqueue_send(const Message& message);
  void enqueue_receive(const Message& message);
  void check_device(const at::Tensor& tensor, const char* operation) const;
  [[noreturn]] void fail(const PeerFailure& failure);

  std::shared_ptr<NcclGroup> group_;
  std::unique_ptr<Communicator> cpu_;
  std::chrono::seconds deadline_;
  std::function<void(std::function<void()>)> at_abort_;
  bool direct_;
  std::unique_ptr<IpcPost> post_;  ///< takes all that goes between two ranks; null: NCCL does
  std::string refusal_;            ///< why there is no post, if it was wanted
  int64_t bytes_gathered_ = 0, bytes_sent_ = 0;
  bool ended_ = false;
};

template <typename Enqueue>
std::unique_ptr<Transfer> NcclCommunicator::launch(NcclLink& link, const Operation& operation,
                                                   const std::vector<at::Tensor>& tensors,
                                                   const Enqueue& enqueue) {
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(group_->device()));
  queue_up(link);
  if (operation.bytes > 0) {
    check_nccl(enqueue(), operation.name, link.comm());
  }
  return launched(link, operation, tensors);
}

/// What comes next on the link waits for all that the current stream has been given so far.
void NcclCommunicator::queue_up(NcclLink& link) const {
  const auto device = static_cast<c10::DeviceIndex>(group_->device());
  CudaEvent(c10::cuda::getCurrentCUDAStream(device)).let_wait(link.stream());
}

std::unique_ptr<Transfer> NcclCommunicator::launched(NcclLink& link, const Operation& operation,
                                                     const std::vector<at::Tensor>& tensors) {
  const auto device = static_cast<c10::DeviceIndex>(group_->device());
  auto end = std::make_shared<CudaEvent>(link.stream());
  for (const at::Tensor& tensor : tensors) {
    // Its memory may be given to others only when this stream is done with it.
    c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(),
                                                  c10::cuda::getStreamFromExternal(link.stream(), device));
  }
  group_->remember(operation, end);
  return std::make_unique<NcclTransfer>(group_, link, std::move(end));
}

void NcclCommunicator::check_device(const at::Tensor& tensor, const char* operation) const {
  check_tensor(tensor, at::kCUDA, operation);
  if (tensor.device().index() != group_->device()) {
    throw InternalError(std::string(operation) + " between ranks: the tensor is on GPU " +
                        std::to_string(tensor.device().index()) + ", the communicator on GPU " +
                        std::to_string(group_->device()));
  }
}

void NcclCommunicator::fail(const PeerFailure& failure) {
  ended_ = true;
  end_group(group_, std::chrono::nanoseconds(0));
  throw failure;
}

std::unique_ptr<Transfer> NcclCommunicator::launch_send(const at::Tensor& tensor, int to) {
  return std::move(launch_exchange({{tensor, to}}, {}).sends.front());
}

std::unique_ptr<Transfer> NcclCommunicator::launch_receive(const at::Tensor& tensor, int from) {
  return std::move(launch_exchange({}, {{tensor, from}}).receives.front());
}

void NcclCommunicator::enqueue_send(const Message& message) {
  NcclLink& link = group_->to(message.peer);
  const at::Tensor& tensor = message.tensor;
  if (tensor.nbytes() > 0) {
    check_nccl(ncclSend(tensor.data_ptr(), tensor.nbytes(), ncclUint8, 1, link.comm(), link.stream()),
               "ncclSend", link.comm());
  }
}

void NcclCommunicator::enqueue_receive(const Message& message) {
  NcclLink& link = group_->from(message.peer);
  const at::Tensor& tensor = message.tensor;
  if (tensor.nbytes() > 0) {
    check_nccl(ncclRecv(tensor.data_ptr(), tensor.nbytes(), ncclUint8, 0, link.comm(), link.stream()),
               "ncclRecv", link.comm());
  }
}

Exchange NcclCommunicator::launch_exchange(const std::vector<Message>& sends,
                                           const std::vector<Message>& receives) {
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(group_->device()));
  for (const Message& message : sends) {
    check_device(message.tensor, "send");
    check_peer(message.peer, rank(), size(), "send");
    bytes_sent_ += static_cast<int64_t>(message.tensor.nbytes());
  }
  for (const Message& message : receives) {
    check_device(message.tensor, "receive");
    check_peer(message.peer, rank(), size(), "receive");
  }
  if (post_) {
    return launch_by_post(sends, receives);
  }
  for (const Message& message : sends) queue_up(group_->to(message.peer));
  for (const Message& message : receives) queue_up(group_->from(message.peer));
  // In a group, nothing of ours comes between the kernels' launches: a rank whose host stood still there, for
  // memory or for a module, until its kernels are done would wait for a kernel that it has yet to launch.
  check_nccl(ncclGroupStart(), "ncclGroupStart");
  for (const Message& message : sends) enqueue_send(message);
  for (const Message& message : receives) enqueue_receive(message);
  check_nccl(ncclGroupEnd(), "ncclGroupEnd");

  Exchange exchange;
  for (const Message& message : sends) {
    const auto bytes = static_cast<int64_t>(message.tensor.nbytes());
    exchange.sends.push_back(
        launched(group_->to(message.peer), {"send", bytes, message.peer}, {message.tensor}));
  }
  for (const Message& message : receives) {
    const auto bytes = static_cast<int64_t>(message.tensor.nbytes());
    exchange.receives.push_back(
        launched(group_->from(message.peer), {"receive", bytes, message.peer}, {message.tensor}));
  }
  return exchange;
}

Exchange NcclCommunicator::launch_by_post(const std::vector<Message>& sends,
                                          const std::vector<Message>& receives) {
  Exchange exchange;
  for (const Message& message : receives) {
    exchange.receives.push_back(post_->receive(message.tensor, message.peer));
  }
  for (const Message& message : sends) {
    exchange.sends.push_back(post_->send(message.tensor, message.peer));
  }
  return exchange;
}

std::unique_ptr<Transfer> NcclCommunicator::launch_all_gather(const at::Tensor& part, const at::Tensor& all) {
  check_device(part, "all-gather");
  check_device(all, "all-gather");
  check_all_gather(part, all, size());
  bytes_gathered_ += static_cast<int64_t>(part.nbytes()) * (size() - 1);
  NcclLink& link = group_->collectives();
  return launch(link, {"all-gather", static_cast<int64_t>(part.nbytes())}, {part, all}, [&] {
    return ncclAllGather(part.data_ptr(), all.data_ptr(), part.nbytes(), ncclUint8, link.comm(),
                         link.stream());
  });
}

std::unique_ptr<PeerShares> NcclCommunicator::publish(const at::Tensor& share, GatherWay way) {
  check_device(share, "share");
  std::string refusal;
  if (way == GatherWay::kAuto) {
    if (auto shares = open_peer_shares(*cpu_, group_->peers(), group_->device(), share, refusal)) {
      return shares;
    }
  }
  return share_by_all_gathers(*this, share, "nccl", refusal);
}

void NcclCommunicator::broadcast(const at::Tensor& tensor, int root) {
  check_device(tensor, "broadcast");
  check_root(root, size());
  NcclLink& link = group_->collectives();
  launch(link, {"broadcast", static_cast<int64_t>(tensor.nbytes()), root == rank() ? -1 : root}, {tensor},
         [&] {
           return ncclBroadcast(tensor.data_ptr(), tensor.data_ptr(), tensor.nbytes(), ncclUint8, root,
                                link.comm(), link.stream());
         })
      ->finish();
}

void NcclCommunicator::barrier() {
  const Operation operation{"barrier"};
  const auto device = static_cast<c10::DeviceIndex>(group_->device());
  const c10::cuda::CUDAGuard guard(device);
  NcclLink& link = group_->collectives();
  CudaEvent(c10::cuda::getCurrentCUDAStream(device)).let_wait(link.stream());
  group_->launch_barrier();
  const CudaEvent end(link.stream());
  const PeerWait wait(activity() == nullptr ? nullptr : &activity()->main,
                      wait_text(operation, group_->peers(), rank()));
  Waited waited;
  try {
    waited = wait_until(
        [&] {
          group_->check();
          if (post_) {
            post_->fetch_what_has_come();
          }
          return end.done();
        },
        patience(activity(), deadline_));
  } catch (const PeerFailure& error) {
    fail(error);
  }
  if (!waited.done) {
    // What stands before the barrier says more about the culprit than the barrier does.
    fail(no_answer(group_->oldest().value_or(operation), group_->peers(), rank(), waited.seconds));
  }
}

std::unique_ptr<Communicator> NcclCommunicator::split(int color) {
  at::Tensor colors = at::empty({size()}, at::kInt);
  cpu_->all_gather(at::full({1}, color, at::kInt), colors);
  NcclStart start{cpu_->split(color), {}, group_->device(), deadline_, at_abort_, direct_};
  if (!start.cpu) {
    return nullptr;
  }
  for (int i = 0; i < size(); ++i) {
    if (colors[i].item<int>() == color) {
      start.peers.push_back(group_->peers()[static_cast<size_t>(i)]);
    }
  }
  return start_nccl(std::move(start));
}

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::shared_ptr<NcclGroup> group, NcclStart start) {
  return std::make_unique<NcclCommunicator>(std::move(group), std::move(start));
}

}  // namespace latentcast
