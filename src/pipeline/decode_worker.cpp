#include "latentcast/pipeline/decode_worker.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace latentcast {
namespace {

constexpr size_t kWaitingBlocks = 2;

c10::impl::VirtualGuardImpl cuda() { return c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA); }

}  // namespace

DecodeWorker::DecodeWorker(DecodeRunner& runner, const ComputeDevice& device, int threads, Activity& activity)
    : runner_(runner), device_(device), activity_(activity), thread_([this, threads] { work(threads); }) {}

DecodeWorker::~DecodeWorker() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    waiting_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void DecodeWorker::take(const at::Tensor& latents) {
  c10::Event made(c10::DeviceType::CUDA);
  made.record(cuda().getStream(device_.device));
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return error_ || waiting_.size() < kWaitingBlocks; });
  if (error_) {
    std::rethrow_exception(error_);
  }
  waiting_.push_back({latents, std::move(made)});
  changed_.notify_all();
}

void DecodeWorker::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return error_ || (waiting_.empty() && !busy_); });
  if (error_) {
    std::rethrow_exception(error_);
  }
}

void DecodeWorker::work(int threads) {
  const c10::InferenceMode inference;
  set_compute_threads(threads);
  cuda().setDevice(device_.device);
  const c10::Stream stream = cuda().getStreamFromGlobalPool(device_.device, /*isHighPriority=*/false);
  cuda().exchangeStream(stream);
  for (;;) {
    std::unique_lock lock(mutex_);
    busy_ = false;
    activity_.rest();
    changed_.notify_all();
    changed_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
    if (closed_) {
      return;
    }
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    const bool another_waits = !waiting_.empty();
    busy_ = true;
    lock.unlock();
    changed_.notify_all();
    try {
      decode(std::move(job), stream, another_waits);
    } catch (...) {
      const std::lock_guard again(mutex_);
      error_ = std::current_exception();
      changed_.notify_all();
      return;
    }
  }
}

void DecodeWorker::decode(Job job, c10::Stream stream, bool another_waits) {
  job.made.block(stream);
  // The giver's stream must not reuse the latents' memory before this stream has read them.
  cuda().recordDataPtrOnStream(job.latents.storage().data_ptr(), stream);
  runner_.take(job.latents, another_waits);
}

}  // namespace latentcast
