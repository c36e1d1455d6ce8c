#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "cuda_handles.h"
#include "peer.h"

namespace latentcast {

/// Transfers that the GPU was given and hasn't finished. A thread looks at them twice a second and notes
/// which one the GPU waits for: the host, which never waits for a transfer, may meanwhile stand in any call
/// of CUDA's.
class NcclPending {
 public:
  /// `activity`: of this rank, or null; outlives this.
  NcclPending(const std::vector<Peer>& peers, int rank, int device, RankActivity* activity);
  ~NcclPending();
  NcclPending(const NcclPending&) = delete;
  NcclPending& operator=(const NcclPending&) = delete;

  void add(const Operation& operation, std::shared_ptr<const CudaEvent> end);
  /// The oldest that isn't done. Forgets those before it.
  std::optional<Operation> oldest();

 private:
  struct Transfer {
    uint64_t number;
    Operation operation;
    std::shared_ptr<const CudaEvent> end;
  };
  std::optional<Transfer> oldest_transfer();
  void watch(int device);

  const std::vector<Peer>& peers_;
  int rank_;
  Activity* activity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Transfer> pending_;
  uint64_t added_ = 0;
  bool stop_ = false;
  std::thread thread_;  // last
};

}  // namespace latentcast
