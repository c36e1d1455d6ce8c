#include "latentcast/progress/stop_requests.h"

#include <atomic>
#include <cerrno>
#include <cstring>

#include <signal.h>
#include <sys/statvfs.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

// All that a handler may touch: the first signal that asked for a stop, 0 while none did.
std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

constexpr int kSignals[] = {SIGTERM, SIGINT, SIGUSR1};

extern "C" void note_signal(int number) {
  int none = 0;
  const bool first = first_signal.compare_exchange_strong(none, number);
  // Who presses ^C twice does not want to wait for the end of the clip.
  if (!first && number == SIGINT && none == SIGINT) {
    ::signal(SIGINT, SIG_DFL);
    ::raise(SIGINT);
  }
}

void set_handlers(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : kSignals) {
    ::sigaction(number, &action, nullptr);
  }
}

std::string signal_name(int number) {
  switch (number) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    default:
      return "SIGUSR1";
  }
}

std::string gib(int64_t bytes) {
  char text[40];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1024.0 * 1024 * 1024));
  return text;
}

}  // namespace

StopSignals::StopSignals() { note_from_now_on(); }

void StopSignals::note_from_now_on() {
  first_signal = 0;
  set_handlers(&note_signal);
}

StopSignals::~StopSignals() { set_handlers(SIG_DFL); }

int StopSignals::received() { return first_signal; }

std::optional<StopRequest> StopRequests::poll() const {
  if (const int number = StopSignals::received()) {
    return StopRequest{StopReason::kSignal, signal_name(number)};
  }
  std::error_code ignored;
  if (!settings_.stop_file.empty() && std::filesystem::exists(settings_.stop_file, ignored)) {
    return StopRequest{StopReason::kStopFile, "the file " + settings_.stop_file.string()};
  }
  const std::chrono::duration<double, std::ratio<3600>> hours =
      std::chrono::steady_clock::now() - settings_.start;
  if (settings_.max_hours && hours.count() >= *settings_.max_hours) {
    return StopRequest{StopReason::kMaxHours, "--max_hours"};
  }
  if (settings_.bytes_needed > 0 && !settings_.disk.empty()) {
    const int64_t free = free_bytes(settings_.disk);
    if (free < settings_.bytes_needed) {
      return StopRequest{StopReason::kLowDisk, settings_.disk.string() + " has " + gib(free) + " left, and " +
                                                   gib(settings_.bytes_needed) + " are needed to go on"};
    }
  }
  return std::nullopt;
}

int64_t free_bytes(const std::filesystem::path& folder) {
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) {
    throw OutputError(folder.string() + ": can't be written: " + std::strerror(errno) +
                      "; has the folder been removed?");
  }
  return static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
}

}  // namespace latentcast
