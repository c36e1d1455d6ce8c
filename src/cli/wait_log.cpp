#include "wait_log.h"

#include <algorithm>

#include <c10/core/impl/VirtualGuardImpl.h>

namespace latentcast {

c10::Event TimeMarks::record() const {
  c10::Event event(c10::DeviceType::CUDA, c10::EventFlag::BACKEND_DEFAULT);  // that which keeps the time
  event.record(c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getStream(device_.device));
  return event;
}

void TimeMarks::start() {
  zero_.clear();
  events_.clear();
  times_.clear();
  if (device_.is_cuda()) {
    zero_.push_back(record());
    zero_.front().synchronize();
  }
  start_ = Clock::now();
}

size_t TimeMarks::mark() {
  if (device_.is_cuda()) {
    events_.push_back(record());
  } else {
    times_.push_back(Clock::now());
  }
  return size() - 1;
}

void TimeMarks::wait_for(size_t mark) const {
  if (device_.is_cuda()) {
    events_.at(mark).synchronize();
  }
}

double TimeMarks::seconds(size_t mark) const {
  if (device_.is_cuda()) {
    return zero_.front().elapsedTime(events_.at(mark)) / 1000;
  }
  return std::chrono::duration<double>(times_.at(mark) - start_).count();
}

double TimeMarks::host_seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void WaitLog::start() {
  marks_.start();
  waits_.clear();
}

double WaitLog::seconds(WaitKind kind, double begin, double end) const {
  double sum = 0;
  for (const Waited& waited : waits_) {
    if (waited.kind == kind) {
      const double from = std::max(begin, marks_.seconds(waited.begin));
      sum += std::max(0.0, std::min(end, marks_.seconds(waited.end)) - from);
    }
  }
  return sum;
}

}  // namespace latentcast
