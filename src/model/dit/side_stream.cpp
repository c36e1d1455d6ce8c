#include "side_stream.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace latentcast {
namespace {

c10::impl::VirtualGuardImpl guard(at::Device device) { return c10::impl::VirtualGuardImpl(device.type()); }

}  // namespace

void StreamMark::set(at::Device device) {
  if (device.is_cpu()) return;
  if (!event_) event_.emplace(device.type());
  event_->record(guard(device).getStream(device));
}

void StreamMark::let_wait(at::Device device) const {
  if (event_) event_->block(guard(device).getStream(device));
}

void StreamMark::wait() const {
  if (event_) event_->synchronize();
}

SideStream::SideStream(at::Device device) {
  if (!device.is_cpu()) stream_ = guard(device).getStreamFromGlobalPool(device, /*isHighPriority=*/true);
}

SideStream::Scope::Scope(const SideStream& side) {
  if (side.stream_) before_ = guard(side.stream_->device()).exchangeStream(*side.stream_);
}

SideStream::Scope::~Scope() {
  if (before_) guard(before_->device()).exchangeStream(*before_);
}

}  // namespace latentcast
