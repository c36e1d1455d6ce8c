#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "report_post.h"
#include "verdict.h"
#include <mpi.h>

namespace latentcast {

/// A thread that tells the other ranks once a second what this one does, hears the same of them, and ends the
/// run when one of them shows no progress. It needs nothing of the main thread, which may be stuck in a call
/// for ever, nor of any single rank.
class Watchdog {
 public:
  /// Called once on a rank, in the thread, with the reason; ends all ranks. The verdict's speaker calls it at
  /// once, any other rank only if it is still there some seconds later.
  using OnVerdict = std::function<void(const std::string& message)>;

  /// `comm`: of all ranks and this watchdog's alone; stays the caller's. `activity` outlives the watchdog.
  /// Not collective: others may start theirs up to a deadline later.
  Watchdog(MPI_Comm comm, std::vector<Peer> peers, RankActivity& activity, std::chrono::seconds deadline,
           OnVerdict on_verdict);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// This rank needs nobody any more: waits until all ranks have said so. From then on the watchdog guards
  /// MPI's end: this object must go within the deadline.
  void finish();

 private:
  using Clock = Activity::Clock;
  struct Seen {
    RankState state;
    Clock::time_point heard, progressed;
  };

  void run();
  void look_round();
  void hear(int rank, const Report& report);
  void report_own();
  void make_up_for_own_sleep();
  void judge_ranks();
  Limits limits() const;
  void guard_end();
  /// Sleeps; returns whether the watchdog is to stop.
  bool pause(Clock::duration time);

  ReportPost post_;
  RankActivity& activity_;
  std::chrono::seconds deadline_;
  OnVerdict on_verdict_;
  std::vector<Seen> seen_;
  Clock::time_point last_look_, last_report_;
  std::optional<Clock::time_point> convicted_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool finishing_ = false, all_done_ = false, stop_ = false;

  std::thread thread_;  // last: starts when everything else is there
};

}  // namespace latentcast
