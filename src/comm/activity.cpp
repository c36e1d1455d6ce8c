#include "latentcast/comm/activity.h"

#include <algorithm>

namespace latentcast {

void Activity::begin(const std::string& what) {
  {
    const std::lock_guard lock(mutex_);
    item_ = what;
    part_.clear();
    count();
  }
  probe(what);
}

void Activity::part(const std::string& part) {
  std::string what;
  {
    const std::lock_guard lock(mutex_);
    part_ = part;
    count();
    what = item_ + ", " + part_;
  }
  probe(what);
}

void Activity::advance() {
  const std::lock_guard lock(mutex_);
  count();
}

void Activity::rest() {
  const std::lock_guard lock(mutex_);
  if (!resting_) {
    count();
    resting_ = true;
  }
}

void Activity::wait_for(const std::string& whom) {
  const std::lock_guard lock(mutex_);
  waits_ = whom;  // no progress: only its end is
}

void Activity::count() {
  ++progress_;
  since_ = Clock::now();
  resting_ = false;
  waits_.clear();
}

void Activity::probe(const std::string& what) const {
  if (probe_) {
    probe_(what);
  }
}

Doing Activity::look() const {
  const std::lock_guard lock(mutex_);
  Doing doing;
  doing.what = item_ + (part_.empty() ? "" : ", " + part_) + (waits_.empty() ? "" : "; waits for " + waits_);
  doing.resting = resting_;
  doing.waiting = !waits_.empty();
  doing.progress = progress_;
  doing.seconds = std::chrono::duration<double>(Clock::now() - since_).count();
  return doing;
}

Doing RankActivity::look() const {
  Doing rank = main.look();
  const Doing transfers = device.look(), decoding = decoder.look();
  if (!decoding.resting) {
    rank.what += "; beside it " + decoding.what;
    rank.waiting = false;
  }
  if (transfers.waiting) {
    // Whatever the host's threads stand in: the GPU keeps them.
    rank.what += "; " + transfers.what;
    rank.waiting = true;
  }
  for (const Doing& other : {transfers, decoding}) {
    rank.progress += other.progress;
    rank.seconds = std::min(rank.seconds, other.seconds);
  }
  return rank;
}

void RankActivity::set_probe(const Activity::Probe& probe) {
  main.set_probe(probe);
  decoder.set_probe(probe);
}

}  // namespace latentcast
