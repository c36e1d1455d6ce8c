#include "latentcast/pipeline/frames_to_host.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace latentcast {

FramesToHost::FramesToHost(const at::Tensor& tensor) {
  if (tensor.is_cpu()) {
    host_ = tensor;
    return;
  }
  host_ = at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(true));
  host_.copy_(tensor, /*non_blocking=*/true);
  done_.emplace(tensor.device().type());
  done_->record(c10::impl::VirtualGuardImpl(tensor.device().type()).getStream(tensor.device()));
}

at::Tensor FramesToHost::wait() const {
  if (done_) {
    done_->synchronize();
  }
  return host_;
}

}  // namespace latentcast
