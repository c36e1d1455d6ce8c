#include "mpi_communicator.h"

#include <algorithm>
#include <utility>

#include "host_name.h"
#include "mpi_call.h"
#include "mpi_group.h"
#include "tensor_check.h"
#include "wait.h"
#include <ATen/ATen.h>

namespace latentcast {
namespace {

/// `bytes` bytes, the next ones `extent` bytes after them; given back with the last copy of the pointer.
std::shared_ptr<const MPI_Datatype> make_type(int bytes, int64_t extent) {
  const std::shared_ptr<MPI_Datatype> type(new MPI_Datatype(MPI_DATATYPE_NULL), [](MPI_Datatype* held) {
    if (*held != MPI_DATATYPE_NULL) {
      MPI_Type_free(held);
    }
    delete held;
  });
  MPI_Datatype row = MPI_DATATYPE_NULL;
  check_mpi(MPI_Type_contiguous(bytes, MPI_BYTE, &row), "MPI_Type_contiguous");
  const int code = MPI_Type_create_resized(row, 0, extent, type.get());
  MPI_Type_free(&row);
  check_mpi(code, "MPI_Type_create_resized");
  check_mpi(MPI_Type_commit(type.get()), "MPI_Type_commit");
  return type;
}

char* bytes_of(const at::Tensor& tensor) { return static_cast<char*>(tensor.data_ptr()); }

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(std::shared_ptr<MpiGroup> group, int64_t largest_message)
      : group_(std::move(group)), largest_message_(largest_message) {}

  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }

  std::unique_ptr<Transfer> launch_send(const at::Tensor& tensor, int to) override;
  std::unique_ptr<Transfer> launch_receive(const at::Tensor& tensor, int from) override;
  std::unique_ptr<Transfer> launch_all_gather(const at::Tensor& part, const at::Tensor& all) override;
  std::unique_ptr<PeerShares> publish(const at::Tensor& share, GatherWay) override {
    return share_by_all_gathers(*this, share, "mpi");
  }
  void broadcast(const at::Tensor& tensor, int root) override;
  void barrier() override;
  std::unique_ptr<Communicator> split(int color) override;

  Carrier carrier() const override { return {"mpi", {}}; }
  RankActivity* activity() const override { return group_->activity(); }
  int64_t bytes_gathered() const override { return bytes_gathered_; }
  int64_t bytes_sent() const override { return bytes_sent_; }

 private:
  /// Starts an operation piece by piece: start(offset, count, request). At least one piece, if an empty one.
  template <typename Start>
  std::unique_ptr<Transfer> launch(MpiRequests requests, const Operation& operation, int64_t bytes,
                                   const Start& start);

  std::shared_ptr<MpiGroup> group_;
  int64_t largest_message_;
  int64_t bytes_gathered_ = 0, bytes_sent_ = 0;
};

template <typename Start>
std::unique_ptr<Transfer> MpiCommunicator::launch(MpiRequests requests, const Operation& operation,
                                                  int64_t bytes, const Start& start) {
  int64_t offset = 0;
  do {
    const int64_t count = std::min(largest_message_, bytes - offset);
    requests.requests.push_back(MPI_REQUEST_NULL);
    check_mpi(start(offset, static_cast<int>(count), &requests.requests.back()), operation.name);
    offset += count;
  } while (offset < bytes);
  return make_mpi_transfer(group_, std::move(requests), operation);
}

std::unique_ptr<Transfer> MpiCommunicator::launch_send(const at::Tensor& tensor, int to) {
  check_tensor(tensor, at::kCPU, "send");
  check_peer(to, rank(), size(), "send");
  const auto bytes = static_cast<int64_t>(tensor.nbytes());
  bytes_sent_ += bytes;
  return launch(
      {{}, {tensor}}, {"send", bytes, to}, bytes, [&](int64_t offset, int count, MPI_Request* request) {
        return MPI_Isend(bytes_of(tensor) + offset, count, MPI_BYTE, to, 0, group_->comm(), request);
      });
}

std::unique_ptr<Transfer> MpiCommunicator::launch_receive(const at::Tensor& tensor, int from) {
  check_tensor(tensor, at::kCPU, "receive");
  check_peer(from, rank(), size(), "receive");
  const auto bytes = static_cast<int64_t>(tensor.nbytes());
  return launch({{}, {tensor}, bytes}, {"receive", bytes, from}, bytes,
                [&](int64_t offset, int count, MPI_Request* request) {
                  return MPI_Irecv(bytes_of(tensor) + offset, count, MPI_BYTE, from, 0, group_->comm(),
                                   request);
                });
}

std::unique_ptr<Transfer> MpiCommunicator::launch_all_gather(const at::Tensor& part, const at::Tensor& all) {
  check_tensor(part, at::kCPU, "all-gather");
  check_tensor(all, at::kCPU, "all-gather");
  check_all_gather(part, all, size());
  const auto bytes = static_cast<int64_t>(part.nbytes());
  bytes_gathered_ += bytes * (size() - 1);
  const auto types = std::make_shared<std::vector<std::shared_ptr<const MPI_Datatype>>>();
  const auto start = [&](int64_t offset, int count, MPI_Request* request) {
    if (count == bytes) {
      return MPI_Iallgather(bytes_of(part), count, MPI_BYTE, bytes_of(all), count, MPI_BYTE, group_->comm(),
                            request);
    }
    // A piece of every part, each at its place in the whole.
    const std::shared_ptr<const MPI_Datatype> piece = make_type(count, bytes);
    types->push_back(piece);
    return MPI_Iallgather(bytes_of(part) + offset, count, MPI_BYTE, bytes_of(all) + offset, 1, *piece,
                          group_->comm(), request);
  };
  return launch({{}, {part, all}, -1, types}, {"all-gather", bytes}, bytes, start);
}

void MpiCommunicator::broadcast(const at::Tensor& tensor, int root) {
  check_tensor(tensor, at::kCPU, "broadcast");
  check_root(root, size());
  const auto bytes = static_cast<int64_t>(tensor.nbytes());
  const int peer = root == rank() ? -1 : root;
  launch({{}, {tensor}}, {"broadcast", bytes, peer}, bytes,
         [&](int64_t offset, int count, MPI_Request* request) {
           return MPI_Ibcast(bytes_of(tensor) + offset, count, MPI_BYTE, root, group_->comm(), request);
         })
      ->finish();
}

void MpiCommunicator::barrier() {
  launch({}, {"barrier"}, 0, [&](int64_t, int, MPI_Request* request) {
    return MPI_Ibarrier(group_->comm(), request);
  })->finish();
}

std::unique_ptr<Communicator> MpiCommunicator::split(int color) {
  // Also makes sure, with the deadline, that all are here: MPI_Comm_split would wait for ever.
  at::Tensor colors = at::empty({size()}, at::kInt);
  all_gather(at::full({1}, color, at::kInt), colors);
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(group_->comm(), color < 0 ? MPI_UNDEFINED : color, rank(), &comm),
            "MPI_Comm_split");
  if (comm == MPI_COMM_NULL) {
    return nullptr;
  }
  std::vector<Peer> peers;
  for (int i = 0; i < size(); ++i) {
    if (colors[i].item<int>() == color) {
      peers.push_back(group_->peers()[static_cast<size_t>(i)]);
    }
  }
  return std::make_unique<MpiCommunicator>(
      std::make_shared<MpiGroup>(comm, std::move(peers), group_->deadline(), group_->activity()),
      largest_message_);
}

}  // namespace

MPI_Comm duplicate(MPI_Comm parent, std::chrono::seconds deadline, RankActivity* activity) {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Comm_idup(parent, &comm, &request), "MPI_Comm_idup");
  const PeerWait wait(activity == nullptr ? nullptr : &activity->main, "the other ranks to start");
  const Waited waited = wait_until(
      [&] {
        int flag = 0;
        check_mpi(MPI_Test(&request, &flag, MPI_STATUS_IGNORE), "MPI_Comm_idup");
        return flag != 0;
      },
      patience(activity, deadline));
  if (!waited.done) {
    throw PeerFailure("waited " + seconds_text(waited.seconds) +
                      " for the other ranks to start: one has ended or hangs; see the ranks' logs");
  }
  return comm;
}

std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm parent, std::chrono::seconds deadline,
                                                    RankActivity* activity, int64_t largest_message) {
  int size = 0;
  check_mpi(MPI_Comm_size(parent, &size), "MPI_Comm_size");
  std::vector<Peer> peers;
  for (int i = 0; i < size; ++i) {
    peers.push_back({i, "unknown host"});
  }
  const auto group =
      std::make_shared<MpiGroup>(duplicate(parent, deadline, activity), peers, deadline, activity);
  auto communicator = std::make_unique<MpiCommunicator>(group, largest_message);
  const std::vector<std::string> hosts = gather_strings(*communicator, host_name());
  for (size_t i = 0; i < peers.size(); ++i) {
    peers[i].host = hosts[i];
  }
  group->set_peers(std::move(peers));
  return std::make_unique<MpiCommunicator>(group, largest_message);
}

}  // namespace latentcast
