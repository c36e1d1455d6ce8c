#include "nccl_pending.h"

#include <chrono>
#include <utility>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks(500);

}  // namespace

NcclPending::NcclPending(const std::vector<Peer>& peers, int rank, int device, RankActivity* activity)
    : peers_(peers), rank_(rank), activity_(activity == nullptr ? nullptr : &activity->device) {
  if (activity_ != nullptr) {
    thread_ = std::thread([this, device] { watch(device); });
  }
}

NcclPending::~NcclPending() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void NcclPending::add(const Operation& operation, std::shared_ptr<const CudaEvent> end) {
  oldest();
  const std::lock_guard lock(mutex_);
  pending_.push_back({added_++, operation, std::move(end)});
}

std::optional<Operation> NcclPending::oldest() {
  const std::optional<Transfer> transfer = oldest_transfer();
  return transfer ? std::optional(transfer->operation) : std::nullopt;
}

/// CUDA is asked without the lock: should it not answer, only the asking thread stands.
std::optional<NcclPending::Transfer> NcclPending::oldest_transfer() {
  for (;;) {
    std::optional<Transfer> first;
    {
      const std::lock_guard lock(mutex_);
      if (!pending_.empty()) {
        first = pending_.front();
      }
    }
    if (!first || !first->end->done()) {
      return first;
    }
    const std::lock_guard lock(mutex_);
    if (!pending_.empty() && pending_.front().number == first->number) {
      pending_.pop_front();
    }
  }
}

void NcclPending::watch(int device) {
  try {
    check_cuda(cudaSetDevice(device), "cudaSetDevice");
    // Else a look at an event would spoil a graph that the main thread captures.
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    check_cuda(cudaThreadExchangeStreamCaptureMode(&mode), "cudaThreadExchangeStreamCaptureMode");
    std::optional<uint64_t> last;
    std::unique_ptr<PeerWait> wait;
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kBetweenLooks, [this] { return stop_; })) {
      lock.unlock();
      const std::optional<Transfer> transfer = oldest_transfer();
      if (!transfer) {
        wait.reset();
        activity_->rest();
      } else if (transfer->number != last) {
        wait.reset();
        activity_->begin("transfers of the GPU");
      } else if (!wait) {
        wait = std::make_unique<PeerWait>(activity_, wait_text(transfer->operation, peers_, rank_));
      }
      last = transfer ? std::optional(transfer->number) : std::nullopt;
      lock.lock();
    }
    wait.reset();
    activity_->rest();
  } catch (const Error&) {
    // The GPU has failed, which the main thread finds out as well.
  }
}

}  // namespace latentcast
