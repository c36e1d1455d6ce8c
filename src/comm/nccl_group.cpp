#include "nccl_group.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "wait.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

// Moves a hidden state in two milliseconds. A send or a receive that has come before its peer's keeps its
// blocks from the computing until that one comes too, so they are as few as can be.
constexpr int kBlocksOfOneSend = 1;
constexpr size_t kWarmUpBytes = 4u << 20;  // enough for the algorithm that large messages take
constexpr std::chrono::seconds kEndDeadline(10);

void check_current_device(int device) { check_cuda(cudaSetDevice(device), "cudaSetDevice"); }

}  // namespace

NcclGroup::NcclGroup(const std::vector<ncclUniqueId>& ids, std::vector<Peer> peers, int rank, int device)
    : peers_(std::move(peers)),
      rank_(rank),
      device_(device),
      scratch_((check_current_device(device), peers_.size() + 1)),
      to_(peers_.size()),
      from_(peers_.size()) {
  collectives_ = std::make_unique<NcclLink>(ids.front(), size(), rank_, 0);
  warm_up_collectives();
  // In round r the ranks whose numbers add up to r (modulo the size) meet, so all pairs of a round connect at
  // once.
  for (int round = 0; round < size(); ++round) {
    const int peer = (round - rank_ + size()) % size();
    if (peer != rank_) {
      connect(peer, ids);
    }
  }
}

void NcclGroup::connect(int peer, const std::vector<ncclUniqueId>& ids) {
  const auto id = [&](int from, int to) { return ids[static_cast<size_t>(from) * peers_.size() + to]; };
  const auto send = [&] {
    auto link = std::make_unique<NcclLink>(id(rank_, peer), 2, 0, kBlocksOfOneSend);
    check_nccl(ncclSend(scratch_.get(), 1, ncclUint8, 1, link->comm(), link->stream()), "ncclSend",
               link->comm());
    to_[static_cast<size_t>(peer)] = std::move(link);
  };
  const auto receive = [&] {
    auto link = std::make_unique<NcclLink>(id(peer, rank_), 2, 1, kBlocksOfOneSend);
    check_nccl(ncclRecv(scratch_.get(), 1, ncclUint8, 0, link->comm(), link->stream()), "ncclRecv",
               link->comm());
    from_[static_cast<size_t>(peer)] = std::move(link);
  };
  if (rank_ < peer) {
    send();
    receive();
  } else {
    receive();
    send();
  }
}

void NcclGroup::warm_up_collectives() {
  // A first call connects the ranks, and the host waits for that: never in the middle of a render.
  const CudaBytes all(kWarmUpBytes * peers_.size());
  NcclLink& link = *collectives_;
  launch_barrier();
  check_nccl(ncclAllGather(all.get() + static_cast<size_t>(rank_) * kWarmUpBytes, all.get(), kWarmUpBytes,
                           ncclUint8, link.comm(), link.stream()),
             "ncclAllGather", link.comm());
  check_nccl(ncclBroadcast(all.get(), all.get(), kWarmUpBytes, ncclUint8, 0, link.comm(), link.stream()),
             "ncclBroadcast", link.comm());
  check_cuda(cudaStreamSynchronize(link.stream()), "cudaStreamSynchronize");
}

void NcclGroup::launch_barrier() {
  NcclLink& link = *collectives_;
  check_nccl(ncclAllGather(scratch_.get(), scratch_.get() + 1, 1, ncclUint8, link.comm(), link.stream()),
             "ncclAllGather", link.comm());
}

std::vector<NcclLink*> NcclGroup::links() const {
  std::vector<NcclLink*> links = {collectives_.get()};
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (to_[i]) {
      links.push_back(to_[i].get());
      links.push_back(from_[i].get());
    }
  }
  return links;
}

bool NcclGroup::idle() const {
  const std::vector<NcclLink*> all = links();
  return std::all_of(all.begin(), all.end(), [](const NcclLink* link) { return link->idle(); });
}

void NcclGroup::check() const {
  for (const NcclLink* link : links()) {
    link->check();
  }
}

void NcclGroup::close() noexcept { end_all(&NcclLink::close); }

void NcclGroup::abort() noexcept { end_all(&NcclLink::abort); }

/// All at once. Closing a link waits for the peer to close it too, and two ranks have theirs in different
/// orders; what stands on one link's stream may wait for another link's, and freeing memory waits for all
/// that the GPU does: one after the other, the first would wait for ever.
void NcclGroup::end_all(void (NcclLink::*end)() noexcept) noexcept {
  std::vector<std::thread> threads;
  for (NcclLink* link : links()) {
    threads.emplace_back([link, end, device = device_] {
      static_cast<void>(cudaSetDevice(device));
      (link->*end)();
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

void end_group(const std::shared_ptr<NcclGroup>& group, std::chrono::nanoseconds patience) noexcept {
  try {
    bool in_order = false;
    try {
      in_order = wait_until([&] { return group->idle(); }, patience).done;
    } catch (const Error&) {
      // The stream has failed, only force is left.
    }
    const int device = group->device();
    run_with_deadline(
        [group, in_order, device] {
          check_current_device(device);
          in_order ? group->close() : group->abort();
        },
        kEndDeadline, "NCCL's end");
  } catch (const std::exception&) {
    // NCCL is stuck: what it holds goes with the process.
  }
}

}  // namespace latentcast
