#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include "latentcast/device/device.h"
#include "latentcast/pipeline/decode_runner.h"

namespace latentcast {

/// Decodes beside the denoising on one GPU: a thread with a stream of its own runs the DecodeRunner. A
/// block's latents are handed over with an event that is recorded once by the giver and waited for once by
/// the decoder's stream. At most two blocks wait; then take() does.
class DecodeWorker {
 public:
  /// `runner` must outlive the worker and is used by its thread alone, as is `activity`, the runner's.
  DecodeWorker(DecodeRunner& runner, const ComputeDevice& device, int threads, Activity& activity);
  /// Ends the thread; blocks that still wait are dropped.
  ~DecodeWorker();
  DecodeWorker(const DecodeWorker&) = delete;
  DecodeWorker& operator=(const DecodeWorker&) = delete;

  /// Latents that the current stream is making. Rethrows an error of the thread's.
  void take(const at::Tensor& latents);
  /// Returns when everything taken is decoded and written. Rethrows an error of the thread's.
  void finish();

 private:
  struct Job {
    at::Tensor latents;
    c10::Event made;
  };
  void work(int threads);
  void decode(Job job, c10::Stream stream, bool another_waits);

  DecodeRunner& runner_;
  ComputeDevice device_;
  Activity& activity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> waiting_;
  bool busy_ = false, closed_ = false;
  std::exception_ptr error_;
  std::thread thread_;  // last: starts when everything else is there
};

}  // namespace latentcast
