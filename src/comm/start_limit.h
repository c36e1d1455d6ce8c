#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace latentcast {

/// Calls `give_up` on a thread of its own if this object still lives after `limit`: for calls that wait for
/// other processes and know no deadline. They must be made on the thread that they belong to, so they can't
/// be left behind; `give_up` ends the process.
class StartLimit {
 public:
  StartLimit(std::chrono::nanoseconds limit, std::function<void()> give_up)
      : thread_([this, limit, give_up = std::move(give_up)](const std::stop_token& over) {
          std::unique_lock lock(mutex_);
          changed_.wait_for(lock, over, limit, [] { return false; });
          if (!over.stop_requested()) {
            give_up();
          }
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: it uses the others, and joins before they go
};

}  // namespace latentcast
