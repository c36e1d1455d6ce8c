#include "latentcast/pipeline/host_pieces.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr int64_t kChunk = int64_t{1} << 30;  // pinned at once
constexpr int64_t kAlignment = 4096;

int64_t rounded_up(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Undefined if there is none.
at::Tensor make_chunk(const ComputeDevice& device, int64_t bytes) {
  if (!device.is_cuda()) return at::empty({bytes}, at::TensorOptions().dtype(at::kByte));
  const at::Tensor chunk = pinned_host_memory(device, bytes);
  return chunk.defined() && chunk.is_pinned() ? chunk : at::Tensor();
}

}  // namespace

/// All under `mutex_`.
class HostPieces::Store {
 public:
  void add(const at::Tensor& chunk, int64_t piece, int64_t count) {
    {
      const std::lock_guard lock(mutex_);
      chunks_.push_back(chunk);
      auto* const begin = static_cast<char*>(chunk.data_ptr());
      std::vector<char*>& free = free_[piece];
      for (int64_t i = count - 1; i >= 0; --i) free.push_back(begin + i * piece);
    }
    changed_.notify_all();
  }

  char* take(int64_t piece, const std::function<void()>& on_step) {
    std::unique_lock lock(mutex_);
    const auto free = free_.find(piece);
    if (free == free_.end()) throw InternalError("host memory in pieces of another size than reserved");
    while (free->second.empty()) {
      changed_.wait(lock);
      if (on_step) on_step();
    }
    char* const place = free->second.back();
    free->second.pop_back();
    return place;
  }

  void give_back(char* place, int64_t piece) {
    {
      const std::lock_guard lock(mutex_);
      free_[piece].push_back(place);
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<at::Tensor> chunks_;
  std::map<int64_t, std::vector<char*>> free_;  ///< by size
};

HostPieces::HostPieces(const ComputeDevice& device, std::function<void()> on_step)
    : device_(device), on_step_(std::move(on_step)), store_(std::make_shared<Store>()) {}

HostPieces::~HostPieces() = default;  // the future waits

namespace {

/// How many of `count` pieces there was room for.
template <typename Store>
int64_t grow(const ComputeDevice& device, Store& store, int64_t piece, int64_t count) {
  const int64_t at_once = std::max<int64_t>(1, kChunk / piece);
  int64_t done = 0;
  while (done < count) {
    const int64_t now = std::min(at_once, count - done);
    const at::Tensor chunk = make_chunk(device, now * piece);
    if (!chunk.defined()) break;
    store.add(chunk, piece, now);
    done += now;
  }
  return done;
}

}  // namespace

void HostPieces::reserve(int64_t bytes, int64_t count) {
  const int64_t piece = rounded_up(bytes), got = grow(device_, *store_, piece, count);
  if (got == count) return;
  char text[160];
  std::snprintf(text, sizeof text,
                "the attention caches need %.1f GB more of pinned host memory than there is",
                static_cast<double>((count - got) * piece) / 1e9);
  throw InputError(
      std::string(text) +
      "; give the job more memory (and a higher limit of locked memory), keep more layers' caches "
      "on the device (--kv_layers_on_device), or use --kv_dtype fp8");
}

void HostPieces::reserve_beside(int64_t bytes, int64_t count) {
  beside_ = std::async(std::launch::async, [device = device_, store = store_, bytes, count] {
    return grow(device, *store, rounded_up(bytes), count);
  });
}

int64_t HostPieces::reserved_beside() { return beside_.valid() ? beside_.get() : 0; }

at::Tensor HostPieces::take(int64_t bytes) {
  const int64_t piece = rounded_up(bytes);
  char* const place = store_->take(piece, on_step_);
  return at::from_blob(
      place, {bytes},
      [store = store_, piece](void* done) { store->give_back(static_cast<char*>(done), piece); },
      at::TensorOptions().dtype(at::kByte));
}

}  // namespace latentcast
