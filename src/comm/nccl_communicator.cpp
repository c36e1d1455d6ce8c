#include "nccl_communicator.h"

#include <utility>

#include "ipc_post.h"
#include "ipc_shares.h"
#include "nccl_group.h"
#include "nccl_pending.h"
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
  explicit NcclCommunicator(NcclStart start)
      : start_(std::move(start)), pending_(peers(), rank(), start_.device, start_.activity()) {
    if (start_.direct) {
      const auto note = [this](const Operation& operation, std::shared_ptr<CudaEvent> end) {
        pending_.add(operation, std::move(end));
      };
      post_ = IpcPost::open(cpu(), peers(), start_.device, start_.deadline, note, refusal_);
    }
    if (!post_) {
      nccl();  // sends aren't collective: all ranks are here now
    }
  }
  ~NcclCommunicator() override {
    post_.reset();
    const bool failing = std::uncaught_exceptions() > 0;
    if (group_ && !ended_) {
      end_group(group_, failing ? std::chrono::nanoseconds(0) : std::chrono::nanoseconds(start_.deadline));
    }
  }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const override { return start_.cpu->rank(); }
  int size() const override { return start_.cpu->size(); }

  std::unique_ptr<Transfer> launch_send(const at::Tensor& tensor, int to) override;
  std::unique_ptr<Transfer> launch_receive(const at::Tensor& tensor, int from) override;
  Exchange launch_exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) override;
  std::unique_ptr<Transfer> launch_all_gather(const at::Tensor& part, const at::Tensor& all) override;
  std::unique_ptr<PeerShares> publish(const at::Tensor& share, GatherWay way) override;
  void broadcast(const at::Tensor& tensor, int root) override;
  void barrier() override;
  std::unique_ptr<Communicator> split(int color) override;

  Carrier carrier() const override { return {post_ ? "copy engines" : "nccl", refusal_, group_ != nullptr}; }
  RankActivity* activity() const override { return start_.activity(); }
  int64_t bytes_gathered() const override { return bytes_gathered_; }
  int64_t bytes_sent() const override { return bytes_sent_; }

 private:
  Communicator& cpu() const { return *start_.cpu; }
  const std::vector<Peer>& peers() const { return start_.peers; }
  c10::DeviceIndex device() const { return static_cast<c10::DeviceIndex>(start_.device); }
  /// NCCL's links, made at the first call, which is collective.
  NcclGroup& nccl();
  /// What the hosts tell one another where NCCL isn't there to.
  struct Word {
    at::Tensor all;
    std::unique_ptr<Transfer> transfer;
  };
  bool all_are_here(const CudaEvent& launched, Word& word) const;

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

  NcclStart start_;
  std::shared_ptr<NcclGroup> group_;  ///< null as long as nothing needs it
  NcclPending pending_;
  std::unique_ptr<IpcPost> post_;  ///< takes all that goes between two ranks; null: NCCL does
  std::string refusal_;            ///< why there is no post, if it was wanted
  int64_t bytes_gathered_ = 0, bytes_sent_ = 0;
  bool ended_ = false;
};

NcclGroup& NcclCommunicator::nccl() {
  if (!group_) {
    group_ = connect_nccl(start_);
    start_.at_abort([weak = std::weak_ptr<NcclGroup>(group_)] {
      if (const std::shared_ptr<NcclGroup> held = weak.lock()) {
        held->abort();
      }
    });
  }
  return *group_;
}

template <typename Enqueue>
std::unique_ptr<Transfer> NcclCommunicator::launch(NcclLink& link, const Operation& operation,
                                                   const std::vector<at::Tensor>& tensors,
                                                   const Enqueue& enqueue) {
  const c10::cuda::CUDAGuard guard(device());
  queue_up(link);
  if (operation.bytes > 0) {
    check_nccl(enqueue(), operation.name, link.comm());
  }
  return launched(link, operation, tensors);
}

/// What comes next on the link waits for all that the current stream has been given so far.
void NcclCommunicator::queue_up(NcclLink& link) const {
  CudaEvent(c10::cuda::getCurrentCUDAStream(device())).let_wait(link.stream());
}

std::unique_ptr<Transfer> NcclCommunicator::launched(NcclLink& link, const Operation& operation,
                                                     const std::vector<at::Tensor>& tensors) {
  auto end = std::make_shared<CudaEvent>(link.stream());
  for (const at::Tensor& tensor : tensors) {
    // Its memory may be given to others only when this stream is done with it.
    c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(),
                                                  c10::cuda::getStreamFromExternal(link.stream(), device()));
  }
  pending_.add(operation, end);
  return std::make_unique<NcclTransfer>(group_, link, std::move(end));
}

void NcclCommunicator::check_device(const at::Tensor& tensor, const char* operation) const {
  check_tensor(tensor, at::kCUDA, operation);
  if (tensor.device().index() != device()) {
    throw InternalError(std::string(operation) + " between ranks: the tensor is on GPU " +
                        std::to_string(tensor.device().index()) + ", the communicator on GPU " +
                        std::to_string(start_.device));
  }
}

void NcclCommunicator::fail(const PeerFailure& failure) {
  ended_ = true;
  if (group_) {
    end_group(group_, std::chrono::nanoseconds(0));
  }
  throw failure;
}

std::unique_ptr<Transfer> NcclCommunicator::launch_send(const at::Tensor& tensor, int to) {
  return std::move(launch_exchange({{tensor, to}}, {}).sends.front());
}

std::unique_ptr<Transfer> NcclCommunicator::launch_receive(const at::Tensor& tensor, int from) {
  return std::move(launch_exchange({}, {{tensor, from}}).receives.front());
}

void NcclCommunicator::enqueue_send(const Message& message) {
  NcclLink& link = nccl().to(message.peer);
  const at::Tensor& tensor = message.tensor;
  if (tensor.nbytes() > 0) {
    check_nccl(ncclSend(tensor.data_ptr(), tensor.nbytes(), ncclUint8, 1, link.comm(), link.stream()),
               "ncclSend", link.comm());
  }
}

void NcclCommunicator::enqueue_receive(const Message& message) {
  NcclLink& link = nccl().from(message.peer);
  const at::Tensor& tensor = message.tensor;
  if (tensor.nbytes() > 0) {
    check_nccl(ncclRecv(tensor.data_ptr(), tensor.nbytes(), ncclUint8, 0, link.comm(), link.stream()),
               "ncclRecv", link.comm());
  }
}

Exchange NcclCommunicator::launch_exchange(const std::vector<Message>& sends,
                                           const std::vector<Message>& receives) {
  const c10::cuda::CUDAGuard guard(device());
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
  for (const Message& message : sends) queue_up(nccl().to(message.peer));
  for (const Message& message : receives) queue_up(nccl().from(message.peer));
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
        launched(nccl().to(message.peer), {"send", bytes, message.peer}, {message.tensor}));
  }
  for (const Message& message : receives) {
    const auto bytes = static_cast<int64_t>(message.tensor.nbytes());
    exchange.receives.push_back(
        launched(nccl().from(message.peer), {"receive", bytes, message.peer}, {message.tensor}));
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
  NcclLink& link = nccl().collectives();
  return launch(link, {"all-gather", static_cast<int64_t>(part.nbytes())}, {part, all}, [&] {
    return ncclAllGather(part.data_ptr(), all.data_ptr(), part.nbytes(), ncclUint8, link.comm(),
                         link.stream());
  });
}

std::unique_ptr<PeerShares> NcclCommunicator::publish(const at::Tensor& share, GatherWay way) {
  check_device(share, "share");
  std::string refusal;
  if (way == GatherWay::kAuto) {
    if (auto shares = open_peer_shares(cpu(), peers(), start_.device, share, refusal)) {
      return shares;
    }
  }
  nccl();  // connected now, and not in the middle of a render
  return share_by_all_gathers(*this, share, "nccl", refusal);
}

void NcclCommunicator::broadcast(const at::Tensor& tensor, int root) {
  check_device(tensor, "broadcast");
  check_root(root, size());
  NcclLink& link = nccl().collectives();
  launch(link, {"broadcast", static_cast<int64_t>(tensor.nbytes()), root == rank() ? -1 : root}, {tensor},
         [&] {
           return ncclBroadcast(tensor.data_ptr(), tensor.data_ptr(), tensor.nbytes(), ncclUint8, root,
                                link.comm(), link.stream());
         })
      ->finish();
}

void NcclCommunicator::barrier() {
  const Operation operation{"barrier"};
  const c10::cuda::CUDAGuard guard(device());
  const c10::cuda::CUDAStream computing = c10::cuda::getCurrentCUDAStream(device());
  if (group_) {
    queue_up(group_->collectives());
    group_->launch_barrier();
  }
  const CudaEvent launched(group_ ? group_->collectives().stream() : computing.stream());
  Word word;
  const PeerWait wait(activity() == nullptr ? nullptr : &activity()->main,
                      wait_text(operation, peers(), rank()));
  Waited waited;
  try {
    waited = wait_until([&] { return all_are_here(launched, word); }, patience(activity(), start_.deadline));
  } catch (const PeerFailure& error) {
    fail(error);
  }
  if (!waited.done) {
    // What stands before the barrier says more about the culprit than the barrier does.
    fail(no_answer(pending_.oldest().value_or(operation), peers(), rank(), waited.seconds));
  }
}

/// Whether the GPU has done what it was given before the barrier, here and on all other ranks. NCCL's barrier
/// says that itself.
bool NcclCommunicator::all_are_here(const CudaEvent& launched, Word& word) const {
  if (group_) {
    group_->check();
  }
  if (post_) {
    post_->fetch_what_has_come();
  }
  if (group_ || !launched.done()) {
    return launched.done();
  }
  if (!word.transfer) {
    word.all = at::empty({size()}, at::kByte);
    word.transfer = cpu().launch_all_gather(at::zeros({1}, at::kByte), word.all);
  }
  return word.transfer->test();
}

std::unique_ptr<Communicator> NcclCommunicator::split(int color) {
  at::Tensor colors = at::empty({size()}, at::kInt);
  cpu().all_gather(at::full({1}, color, at::kInt), colors);
  NcclStart start{cpu().split(color), {}, start_.device, start_.deadline, start_.at_abort, start_.direct};
  if (!start.cpu) {
    return nullptr;
  }
  for (int i = 0; i < size(); ++i) {
    if (colors[i].item<int>() == color) {
      start.peers.push_back(peers()[static_cast<size_t>(i)]);
    }
  }
  return start_gpu_group(std::move(start));
}

}  // namespace

std::unique_ptr<Communicator> make_gpu_communicator(NcclStart start) {
  return std::make_unique<NcclCommunicator>(std::move(start));
}

}  // namespace latentcast
