#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace latentcast {

/// What a thread or a rank does at a moment.
struct Doing {
  std::string what;       ///< "block 12, timestep 2, layer 17"; after a semicolon what it waits for
  bool resting = false;   ///< has nothing to do
  bool waiting = false;   ///< for another rank
  uint64_t progress = 0;  ///< counts items, layers, tensors and transfers
  double seconds = 0;     ///< since the last progress
};

/// What one thread of a rank does now, and how often it got on: for the watchdog, which ends a run in which
/// somebody no longer does, and for messages. Written by its thread, read by any.
class Activity {
 public:
  using Clock = std::chrono::steady_clock;
  /// Called by the thread itself at every begin() and part(), with what it does then.
  using Probe = std::function<void(const std::string& what)>;

  /// The thread turns to something else: progress.
  void begin(const std::string& what);
  /// The thread turns to the next part of it, such as a layer: progress. Forgotten at the next begin().
  void part(const std::string& part);
  /// Something moved: progress.
  void advance();
  /// The thread has nothing to do until its next begin(): progress, the first time.
  void rest();

  Doing look() const;

  /// Before any thread uses this.
  void set_probe(Probe probe) { probe_ = std::move(probe); }

 private:
  friend class PeerWait;
  void wait_for(const std::string& whom);
  void count();
  void probe(const std::string& what) const;

  mutable std::mutex mutex_;
  std::string item_ = "starting", part_, waits_;
  bool resting_ = false;
  uint64_t progress_ = 0;
  Clock::time_point since_ = Clock::now();
  Probe probe_;
};

/// The activities of a rank's threads. A rank waits for another if its main thread or its GPU does and no
/// other thread works.
class RankActivity {
 public:
  RankActivity() { decoder.rest(), device.rest(); }

  Activity main;
  Activity decoder;  ///< of a thread that decodes; where the main thread decodes, it rests
  Activity device;   ///< transfers of a GPU, which the main thread doesn't wait for

  Doing look() const;
  void set_probe(const Activity::Probe& probe);

  /// Whether a watchdog ends this run when a rank shows no progress. Then nothing else has to limit its
  /// waits, and nothing else should: only the watchdog knows whether a peer is slow or gone.
  bool watched() const { return watched_; }
  void set_watched(bool watched) { watched_ = watched; }

  /// How to see that this rank was asked to stop (SIGTERM and the like): if a peer is gone there will be no
  /// checkpoint then, and the watchdog ends the run after some seconds of silence instead of --timeout.
  /// Asked by the watchdog's thread, since the main one may be waiting for that peer. Set it before watch().
  void set_stop_sign(std::function<bool()> sign) { stop_sign_ = std::move(sign); }
  bool stopping() const { return stop_sign_ && stop_sign_(); }

 private:
  std::atomic<bool> watched_ = false;
  std::function<bool()> stop_sign_;
};

/// For its life a thread waits for other ranks. `activity` may be null.
class PeerWait {
 public:
  /// `whom`: "rank 3 (host): receive of 2 MB"
  PeerWait(Activity* activity, const std::string& whom) : activity_(activity) {
    if (activity_ != nullptr) activity_->wait_for(whom);
  }
  ~PeerWait() {
    if (activity_ != nullptr) activity_->advance();
  }
  PeerWait(const PeerWait&) = delete;
  PeerWait& operator=(const PeerWait&) = delete;

 private:
  Activity* activity_;
};

}  // namespace latentcast
