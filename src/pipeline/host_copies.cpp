#include "host_copies.h"

#include <fstream>
#include <limits>
#include <string>

#include <ATen/ATen.h>

namespace latentcast {
namespace {

constexpr int64_t kAlignment = 256;

int64_t rounded_up(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

int64_t available_host_bytes() {
  std::ifstream memory("/proc/meminfo");
  std::string name, unit;
  int64_t kilobytes = 0;
  while (memory >> name >> kilobytes) {
    std::getline(memory, unit);
    if (name == "MemAvailable:") {
      return kilobytes * 1024;
    }
  }
  return std::numeric_limits<int64_t>::max();
}

HostCopies::~HostCopies() = default;  // a block that is still being made is waited for

void HostCopies::prepare(int64_t bytes) {
  // Half of what there is: the system, the other ranks of this host and the files' pages need some too.
  if (!device_.is_cuda() || bytes == 0 || bytes > available_host_bytes() / 2) {
    return;
  }
  coming_ = std::async(std::launch::async, [bytes] {
    return at::empty({bytes}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
  });
}

at::Tensor HostCopies::room(int64_t bytes) {
  if (coming_.valid()) {
    block_ = coming_.get();
  }
  if (!block_.defined() || used_ + bytes > block_.numel()) {
    return {};
  }
  const at::Tensor place = block_.narrow(0, used_, bytes);
  used_ += rounded_up(bytes);
  return place;
}

at::Tensor HostCopies::copy(const at::Tensor& tensor) {
  const at::Tensor source = tensor.contiguous();
  const at::Tensor place = device_.is_cuda() ? room(static_cast<int64_t>(source.nbytes())) : at::Tensor();
  if (!place.defined()) {
    return source.is_cpu() ? source.clone() : source.to(at::kCPU);
  }
  at::Tensor copy = place.view(source.scalar_type()).view(source.sizes());
  copy.copy_(source, /*non_blocking=*/true);
  return copy;
}

void HostCopies::wait() { synchronize(device_); }

}  // namespace latentcast
