#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "cuda_handles.h"
#include "nccl_link.h"
#include "peer.h"

namespace latentcast {

/// All links of a communicator.
///
/// Every pair of ranks has a link for each direction, and all ranks together one for collectives: an
/// operation on a link waits for those before it, so a send may never stand behind a receive that the peer
/// answers only after it.
class NcclGroup {
 public:
  /// `ids` [size · size]: of the link from row to column; the first one is of the collectives. Collective;
  /// waits for the others for ever, in an order that can't block. Everything is connected afterwards.
  NcclGroup(const std::vector<ncclUniqueId>& ids, std::vector<Peer> peers, int rank, int device);
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(peers_.size()); }
  int device() const { return device_; }
  const std::vector<Peer>& peers() const { return peers_; }

  NcclLink& collectives() { return *collectives_; }
  NcclLink& to(int peer) { return *to_[static_cast<size_t>(peer)]; }
  NcclLink& from(int peer) { return *from_[static_cast<size_t>(peer)]; }
  /// Launches an all-gather of one byte. Its end says that all ranks are here.
  void launch_barrier();

  bool idle() const;
  /// Throws InternalError if NCCL has noticed a failure on any link.
  void check() const;
  void close() noexcept;
  /// All links at once: one that is ended waits for what others have under way. From any thread.
  void abort() noexcept;

 private:
  void end_all(void (NcclLink::*end)() noexcept) noexcept;
  void connect(int peer, const std::vector<ncclUniqueId>& ids);
  void warm_up_collectives();
  std::vector<NcclLink*> links() const;

  std::vector<Peer> peers_;
  int rank_, device_;
  CudaBytes scratch_;  ///< for the barrier: a byte of ours, then one of each rank
  std::unique_ptr<NcclLink> collectives_;
  std::vector<std::unique_ptr<NcclLink>> to_, from_;
};

/// Ends a group: in order if everything on it is done within `patience`, else by force; in neither case does
/// it take much longer than 10 s.
void end_group(const std::shared_ptr<NcclGroup>& group, std::chrono::nanoseconds patience) noexcept;

}  // namespace latentcast
