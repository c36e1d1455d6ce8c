#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "latentcast/comm/activity.h"

namespace latentcast {

/// Longer than any wait.
inline constexpr std::chrono::hours kForEver(24 * 365);

/// How long to wait for a peer before that is an error: for ever where a watchdog watches all ranks, since
/// it ends the run in time if the peer is gone, and a peer that is only slow is none. `activity` may be null.
inline std::chrono::nanoseconds patience(const RankActivity* activity, std::chrono::nanoseconds deadline) {
  return activity != nullptr && activity->watched() ? std::chrono::nanoseconds(kForEver) : deadline;
}

struct Waited {
  bool done = false;
  double seconds = 0;
};

/// Calls `done` until it says true or the deadline passes: for a few microseconds without a pause, then
/// sleeping 50 to 500 µs in between, so that more ranks than cores don't take the time from one another.
template <typename Done>
Waited wait_until(Done&& done, std::chrono::nanoseconds deadline) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::microseconds kSpin(20), kShortest(50), kLongest(500);
  const Clock::time_point start = Clock::now();
  std::chrono::microseconds pause = kShortest;
  while (true) {
    const bool finished = done();
    const Clock::duration spent = Clock::now() - start;
    if (finished || spent >= deadline) {
      return {finished, std::chrono::duration<double>(spent).count()};
    }
    if (spent > kSpin) {
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 5 / 4, kLongest);
    }
  }
}

/// Runs `work` on a thread of its own and waits for it. Rethrows what it throws; if the deadline passes,
/// leaves the thread to itself and throws InternalError that names `what`. So `work` must own all it uses.
void run_with_deadline(std::function<void()> work, std::chrono::nanoseconds deadline,
                       const std::string& what);

}  // namespace latentcast
