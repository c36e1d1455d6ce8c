#pragma once

#include <chrono>
#include <vector>

#include <c10/core/Event.h>

#include "latentcast/device/device.h"

namespace latentcast {

/// Points in a rank's time: on a GPU when the work that the current stream was given before is done, on a CPU
/// when mark() was called. One thread.
class TimeMarks {
 public:
  explicit TimeMarks(const ComputeDevice& device) : device_(device) {}

  /// Time 0 and no marks. Nothing is under way on the device.
  void start();
  size_t mark();
  /// Waits for the mark.
  void wait_for(size_t mark) const;
  /// Since start(); the mark must have been reached.
  double seconds(size_t mark) const;
  size_t size() const { return device_.is_cuda() ? events_.size() : times_.size(); }
  /// Now, on the host, since start().
  double host_seconds() const;

 private:
  using Clock = std::chrono::steady_clock;

  c10::Event record() const;

  ComputeDevice device_;
  Clock::time_point start_;
  std::vector<c10::Event> zero_;  ///< at most one
  std::vector<c10::Event> events_;
  std::vector<Clock::time_point> times_;
};

enum class WaitKind { kSend, kReceive, kGather };

/// How long a rank's computing waited for others.
class WaitLog {
 public:
  explicit WaitLog(const ComputeDevice& device) : marks_(device) {}

  void start();
  /// Calls `wait`, which makes the current stream (on a CPU: the caller) wait.
  template <typename Wait>
  void time(WaitKind kind, Wait&& wait) {
    const size_t begin = marks_.mark();
    wait();
    waits_.push_back({kind, begin, marks_.mark()});
  }
  /// Seconds of such waits between two times since start(). Nothing may be under way.
  double seconds(WaitKind kind, double begin, double end) const;

 private:
  struct Waited {
    WaitKind kind;
    size_t begin, end;
  };

  TimeMarks marks_;
  std::vector<Waited> waits_;
};

}  // namespace latentcast
