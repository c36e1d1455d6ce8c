#include "mpi_group.h"

#include <utility>

#include "mpi_call.h"
#include "wait.h"

namespace latentcast {
namespace {

class MpiTransfer final : public Transfer {
 public:
  MpiTransfer(std::shared_ptr<MpiGroup> group, MpiRequests requests, const Operation& operation)
      : group_(std::move(group)), requests_(std::move(requests)), operation_(operation) {}
  ~MpiTransfer() override {
    if (!done_) {
      group_->abandon(std::move(requests_));
    }
  }
  MpiTransfer(const MpiTransfer&) = delete;
  MpiTransfer& operator=(const MpiTransfer&) = delete;

  bool test() override;
  void finish() override;

 private:
  void check_received(const std::vector<MPI_Status>& statuses) const;

  std::shared_ptr<MpiGroup> group_;
  MpiRequests requests_;
  Operation operation_;
  bool done_ = false;
};

bool MpiTransfer::test() {
  if (done_) {
    return true;
  }
  std::vector<MPI_Status> statuses(requests_.requests.size());
  int flag = 0;
  const int code =
      MPI_Testall(static_cast<int>(statuses.size()), requests_.requests.data(), &flag, statuses.data());
  if (code == MPI_ERR_IN_STATUS) {
    for (const MPI_Status& status : statuses) {
      check_mpi(status.MPI_ERROR == MPI_ERR_PENDING ? MPI_SUCCESS : status.MPI_ERROR, operation_.name);
    }
  }
  check_mpi(code, operation_.name);
  if (flag == 0) {
    return false;
  }
  done_ = true;
  requests_.tensors.clear();
  check_received(statuses);
  return true;
}

void MpiTransfer::finish() {
  if (test()) {
    return;
  }
  RankActivity* activity = group_->activity();
  const PeerWait wait(activity == nullptr ? nullptr : &activity->main,
                      wait_text(operation_, group_->peers(), group_->rank()));
  const Waited waited = wait_until([this] { return test(); }, patience(activity, group_->deadline()));
  if (!waited.done) {
    throw no_answer(operation_, group_->peers(), group_->rank(), waited.seconds);
  }
}

void MpiTransfer::check_received(const std::vector<MPI_Status>& statuses) const {
  if (requests_.received_bytes < 0) {
    return;
  }
  int64_t arrived = 0;
  for (const MPI_Status& status : statuses) {
    int count = 0;
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
    arrived += count;
  }
  if (arrived != requests_.received_bytes) {
    throw InternalError("a " + text_of(operation_, group_->peers()) + " brought " + std::to_string(arrived) +
                        " bytes");
  }
}

}  // namespace

MpiGroup::MpiGroup(MPI_Comm comm, std::vector<Peer> peers, std::chrono::seconds deadline,
                   RankActivity* activity)
    : comm_(comm), peers_(std::move(peers)), deadline_(deadline), activity_(activity) {
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
}

MpiGroup::~MpiGroup() {
  bool under_way = false;
  for (MpiRequests& left : abandoned_) {
    for (MPI_Request& request : left.requests) {
      if (left.received_bytes >= 0 && request != MPI_REQUEST_NULL) {
        MPI_Cancel(&request);
      }
    }
    int flag = 0;
    MPI_Testall(static_cast<int>(left.requests.size()), left.requests.data(), &flag, MPI_STATUSES_IGNORE);
    if (flag == 0) {
      under_way = true;
      // MPI may still read or write this memory: it must never be used again.
      auto* never_freed = new std::vector<at::Tensor>(std::move(left.tensors));
      static_cast<void>(never_freed);
    }
  }
  if (!under_way) {
    MPI_Comm_free(&comm_);
  }
}

void MpiGroup::abandon(MpiRequests requests) noexcept { abandoned_.push_back(std::move(requests)); }

std::unique_ptr<Transfer> make_mpi_transfer(std::shared_ptr<MpiGroup> group, MpiRequests requests,
                                            const Operation& operation) {
  return std::make_unique<MpiTransfer>(std::move(group), std::move(requests), operation);
}

}  // namespace latentcast
