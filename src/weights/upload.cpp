#include "weights/upload.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace latentcast {
namespace {

/// What one thread reads at a time: large enough for the system to read ahead in the file.
constexpr int64_t kGrain = int64_t{1} << 20;

}  // namespace

void Upload::copy(const Reader& read, const at::Tensor& to) {
  for (int64_t done = 0; done < to.numel();) {
    const int64_t count = std::min(to.numel() - done, kPieceBytes);
    const at::Tensor buffer = free_buffer();
    auto* const bytes = static_cast<std::byte*>(buffer.data_ptr());
    at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
      read(done + begin, {bytes + begin, static_cast<size_t>(end - begin)});
    });
    to.narrow(0, done, count).copy_(buffer.narrow(0, 0, count), /*non_blocking=*/true);
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
