#include "host_copies.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <utility>

#include <ATen/ATen.h>

namespace latentcast {
namespace {

constexpr int64_t kAlignment = 256;
constexpr int64_t kLeastBlock = int64_t{64} << 20;

int64_t rounded_up(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::string gigabytes(int64_t bytes) {
  char text[24];
  std::snprintf(text, sizeof text, "%.1f", static_cast<double>(bytes) / 1e9);
  return text;
}

/// As much of `bytes` as can be had; undefined if that is next to nothing.
at::Tensor make_block(const ComputeDevice& device, int64_t bytes) {
  if (!device.is_cuda()) {
    return at::empty({bytes}, at::TensorOptions().dtype(at::kByte));
  }
  at::Tensor block = pinned_host_memory(device, bytes);
  while (!block.defined() && bytes > kLeastBlock) {
    bytes = std::max(kLeastBlock, bytes / 2);
    block = pinned_host_memory(device, bytes);
  }
  return block;
}

}  // namespace

/// Pieces of the block in the order in which they were given out; each begins where the one before ends, or
/// at the block's beginning. All under `mutex_`.
class HostCopies::Ring {
 public:
  explicit Ring(at::Tensor block) : block_(std::move(block)), size_(block_.numel()) {}

  int64_t size() const { return size_; }

  /// A place for so many bytes; null if there is none now.
  char* take(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    sweep();
    released_ = false;
    const int64_t begin = place_for(bytes);
    if (begin < 0) {
      return nullptr;
    }
    pieces_.push_back({begin, begin + bytes, true});
    return static_cast<char*>(block_.data_ptr()) + begin;
  }

  void release(const char* place) {
    {
      const std::lock_guard lock(mutex_);
      const int64_t begin = place - static_cast<const char*>(block_.const_data_ptr());
      for (Piece& piece : pieces_) {
        piece.in_use = piece.in_use && piece.begin != begin;
      }
      released_ = true;
    }
    changed_.notify_all();
  }

  void wait_for_release() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return released_; });
  }

 private:
  struct Piece {
    int64_t begin, end;
    bool in_use;
  };

  void sweep() {
    while (!pieces_.empty() && !pieces_.front().in_use) {
      pieces_.pop_front();
    }
  }

  int64_t place_for(int64_t bytes) const {
    if (pieces_.empty()) {
      return bytes <= size_ ? 0 : -1;
    }
    const int64_t oldest = pieces_.front().begin, end = pieces_.back().end;
    if (pieces_.back().begin < oldest) {
      return end + bytes <= oldest ? end : -1;
    }
    if (end + bytes <= size_) {
      return end;
    }
    return bytes <= oldest ? 0 : -1;
  }

  at::Tensor block_;
  int64_t size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> pieces_;
  bool released_ = false;  ///< since the last take()
};

HostCopies::~HostCopies() = default;  // a block that is still being made is waited for

void HostCopies::prepare(int64_t bytes, int64_t most_bytes) {
  wanted_ = bytes;
  const int64_t size = rounded_up(std::min(bytes, most_bytes));
  if (size > 0) {
    coming_ = std::async(std::launch::async, make_block, device_, size);
  }
}

void HostCopies::take_block() {
  if (!coming_.valid()) {
    return;
  }
  const at::Tensor block = coming_.get();
  if (block.defined()) {
    pinned_ = device_.is_cuda() && block.is_pinned();
    ring_ = std::make_shared<Ring>(block);
  }
}

int64_t HostCopies::block_bytes() {
  take_block();
  return ring_ ? ring_->size() : 0;
}

std::string HostCopies::shortage() {
  const int64_t bytes = block_bytes();
  if (bytes < wanted_) {
    return "the host has " + gigabytes(bytes) + " GB of the " + gigabytes(wanted_) +
           " GB of memory that a checkpoint's copy takes: computing waits for the disk meanwhile; give the "
           "job more memory, or use --checkpoint light";
  }
  if (device_.is_cuda() && wanted_ > 0 && !pinned_) {
    return "the host's memory can't be pinned: copying a checkpoint holds computing up for seconds";
  }
  return "";
}

at::Tensor HostCopies::copy(const at::Tensor& tensor) {
  take_block();
  const at::Tensor source = tensor.contiguous();
  const int64_t bytes = rounded_up(static_cast<int64_t>(source.nbytes()));
  if (!ring_ || bytes > ring_->size() || bytes == 0) {
    return source.is_cpu() ? source.clone() : source.to(at::kCPU);
  }
  char* place = ring_->take(bytes);
  if (place == nullptr) {
    return {};
  }
  at::Tensor copy = at::from_blob(
      place, source.sizes(), [ring = ring_](void* done) { ring->release(static_cast<char*>(done)); },
      at::TensorOptions().dtype(source.scalar_type()));
  copy.copy_(source, /*non_blocking=*/true);
  return copy;
}

void HostCopies::wait() { synchronize(device_); }

void HostCopies::wait_for_room() { ring_->wait_for_release(); }

}  // namespace latentcast
