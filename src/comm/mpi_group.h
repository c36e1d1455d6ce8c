#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "peer.h"
#include <ATen/core/Tensor.h>
#include <mpi.h>

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// Requests under way and what they read or write.
struct MpiRequests {
  std::vector<MPI_Request> requests = {};
  std::vector<at::Tensor> tensors = {};
  int64_t received_bytes = -1;            ///< for receives: what must arrive
  std::shared_ptr<void> types = nullptr;  ///< MPI's types that the operations use
};

/// What a communicator and its transfers share: MPI's handle, who is in it, and operations that nobody waits
/// for any more but that MPI may still carry out.
class MpiGroup {
 public:
  /// `activity`: of this rank, for waits; outlives the group; may be null.
  MpiGroup(MPI_Comm comm, std::vector<Peer> peers, std::chrono::seconds deadline, RankActivity* activity);
  ~MpiGroup();
  MpiGroup(const MpiGroup&) = delete;
  MpiGroup& operator=(const MpiGroup&) = delete;

  MPI_Comm comm() const { return comm_; }
  int rank() const { return rank_; }
  int size() const { return static_cast<int>(peers_.size()); }
  const std::vector<Peer>& peers() const { return peers_; }
  void set_peers(std::vector<Peer> peers) { peers_ = std::move(peers); }
  std::chrono::seconds deadline() const { return deadline_; }
  RankActivity* activity() const { return activity_; }

  /// Keeps the tensors alive until the operations are done.
  void abandon(MpiRequests requests) noexcept;

 private:
  MPI_Comm comm_;
  int rank_ = 0;
  std::vector<Peer> peers_;
  std::chrono::seconds deadline_;
  RankActivity* activity_;
  std::vector<MpiRequests> abandoned_;
};

std::unique_ptr<Transfer> make_mpi_transfer(std::shared_ptr<MpiGroup> group, MpiRequests requests,
                                            const Operation& operation);

}  // namespace latentcast
