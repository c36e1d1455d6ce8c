#include "weights/upload.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace latentcast {
namespace {

/// What one thread reads at a time: large enough for the system to read ahead in the file.
constexpr int64_t kGrain = int64_t{1} << 20;

/// Mapped pages are read from the disk as they are touched, so several threads keep several reads under way.
void read_by_all_threads(std::span<const std::byte> from, std::byte* to) {
  at::parallel_for(0, static_cast<int64_t>(from.size()), kGrain, [&](int64_t begin, int64_t end) {
    std::memcpy(to + begin, from.data() + begin, static_cast<size_t>(end - begin));
  });
}

}  // namespace

void Upload::copy(std::span<const std::byte> from, const at::Tensor& to) {
  for (size_t done = 0; done < from.size();) {
    const size_t count = std::min(from.size() - done, static_cast<size_t>(kPieceBytes));
    const at::Tensor buffer = free_buffer();
    read_by_all_threads(from.subspan(done, count), static_cast<std::byte*>(buffer.data_ptr()));
    to.narrow(0, static_cast<int64_t>(done), static_cast<int64_t>(count))
        .copy_(buffer.narrow(0, 0, static_cast<int64_t>(count)), /*non_blocking=*/true);
    sent(buffer);
    done += count;
  }
}

/// A new one, or the oldest once its copy is done.
at::Tensor Upload::free_buffer() {
  if (on_their_way_.size() < kBuffers) {
    const auto options = at::TensorOptions().dtype(at::kByte).pinned_memory(!device_.is_cpu());
    return at::empty({kPieceBytes}, options);
  }
  Buffer oldest = std::move(on_their_way_.front());
  on_their_way_.pop_front();
  if (!device_.is_cpu()) oldest.sent.synchronize();
  return oldest.bytes;
}

void Upload::sent(const at::Tensor& buffer) {
  c10::Event end(device_.type());
  if (!device_.is_cpu()) end.record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  on_their_way_.push_back({buffer, std::move(end)});
}

}  // namespace latentcast
