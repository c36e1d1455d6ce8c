#include "watchdog.h"

#include <algorithm>
#include <utility>

namespace latentcast {
namespace {

constexpr std::chrono::milliseconds kPause(100);
constexpr std::chrono::seconds kBetweenReports(1);
constexpr std::chrono::seconds kOwnSleep(2);        // longer between two looks: this process stood still
constexpr std::chrono::seconds kSilenceAtStop(10);  // who is asked to stop isn't given --timeout
constexpr std::chrono::seconds kSpeakersTime(4);    // until others end the run in the speaker's place

double seconds(Activity::Clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

Watchdog::Watchdog(MPI_Comm comm, std::vector<Peer> peers, RankActivity& activity,
                   std::chrono::seconds deadline, OnVerdict on_verdict)
    : post_(comm),
      activity_(activity),
      deadline_(deadline),
      on_verdict_(std::move(on_verdict)),
      last_look_(Clock::now()),
      last_report_(last_look_ - kBetweenReports) {
  for (const Peer& peer : peers) {
    RankState state;
    state.peer = peer;
    state.doing.what = "starting";
    seen_.push_back({state, last_look_, last_look_});
  }
  activity_.set_watched(true);
  thread_ = std::thread([this] { run(); });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
  activity_.set_watched(false);
}

void Watchdog::finish() {
  std::unique_lock lock(mutex_);
  finishing_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return all_done_; });
}

bool Watchdog::pause(Clock::duration time) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [this] { return stop_; });
}

void Watchdog::run() {
  bool all_done = false;
  while (!all_done && !pause(kPause)) {
    look_round();
    all_done = post_.told_all_done() &&
               std::all_of(seen_.begin(), seen_.end(), [](const Seen& seen) { return seen.state.done; });
  }
  if (all_done) {
    post_.close();
    {
      const std::lock_guard lock(mutex_);
      all_done_ = true;
    }
    changed_.notify_all();
    guard_end();
  }
}

void Watchdog::look_round() {
  make_up_for_own_sleep();
  while (const std::optional<Report> report = post_.receive()) {
    hear(report->from, *report);
  }
  report_own();
  judge_ranks();
}

void Watchdog::hear(int rank, const Report& report) {
  Seen& seen = seen_[static_cast<size_t>(rank)];
  seen.heard = Clock::now();
  if (report.progress != seen.state.doing.progress) {
    seen.progressed = seen.heard;
  }
  seen.state.doing = report.doing();
  seen.state.done = report.done != 0;
}

void Watchdog::report_own() {
  bool done = false;
  {
    const std::lock_guard lock(mutex_);
    done = finishing_;
  }
  const Report report(activity_.look(), done);
  hear(post_.rank(), report);
  const Clock::time_point now = Clock::now();
  // The end isn't made to wait for the second to be full.
  if (now - last_report_ >= kBetweenReports || (done && !post_.told_all_done())) {
    post_.send(report);
    last_report_ = now;
  }
}

/// A process that was stopped, or a host that slept, hasn't seen what the others did meanwhile.
void Watchdog::make_up_for_own_sleep() {
  const Clock::time_point now = Clock::now();
  const Clock::duration slept = now - std::exchange(last_look_, now);
  if (slept > kOwnSleep) {
    for (Seen& seen : seen_) {
      seen.heard += slept;
      seen.progressed += slept;
    }
  }
}

void Watchdog::judge_ranks() {
  const Clock::time_point now = Clock::now();
  std::vector<RankState> states;
  for (const Seen& seen : seen_) {
    states.push_back(seen.state);
    states.back().silent = seconds(now - seen.heard);
    states.back().quiet = seconds(now - seen.progressed);
  }
  const std::optional<Verdict> verdict = judge(states, limits());
  if (!verdict) {
    convicted_.reset();
    return;
  }
  if (!convicted_) {
    convicted_ = now;
  }
  if (verdict->speaker == post_.rank() || now - *convicted_ > kSpeakersTime) {
    on_verdict_(verdict->message);
  }
}

Limits Watchdog::limits() const {
  const double deadline = seconds(deadline_);
  return {deadline, activity_.stopping() ? std::min(deadline, seconds(kSilenceAtStop)) : deadline};
}

void Watchdog::guard_end() {
  if (!pause(std::max<Clock::duration>(deadline_, kSpeakersTime))) {
    on_verdict_(name_of(seen_[static_cast<size_t>(post_.rank())].state.peer) + " waited " +
                seconds_text(seconds(deadline_)) +
                " for MPI to end; the video is finished if its name was printed");
  }
}

}  // namespace latentcast
