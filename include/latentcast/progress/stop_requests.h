#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace latentcast {

enum class StopReason {
  kSignal,    ///< SIGTERM, SIGINT or SIGUSR1
  kStopFile,  ///< RUN/stop
  kMaxHours,  ///< --max_hours
  kLowDisk,   ///< no room for what comes next
};

struct StopRequest {
  StopReason reason = StopReason::kSignal;
  std::string text;  ///< for people: "SIGTERM", "the file RUN/stop", …
};

/// SIGTERM, SIGINT and SIGUSR1 are noted instead of ending the process, while the object lives; a second
/// SIGINT ends it at once. For main() of a command alone: at most one at a time.
class StopSignals {
 public:
  StopSignals();
  /// The same till the process ends, static objects' destruction included: launchers send signals to ranks
  /// that are leaving too, and one that dies of it would hide their exit code.
  static void note_from_now_on();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// The first of them that came, 0 if none did.
  static int received();
};

/// What may ask a run to stop early, on any rank. Says so again and again once it has.
class StopRequests {
 public:
  struct Settings {
    std::filesystem::path stop_file;
    std::optional<double> max_hours;  ///< since `start`
    std::chrono::steady_clock::time_point start;
    std::filesystem::path disk;  ///< a folder on the disk that is written to
    int64_t bytes_needed = 0;    ///< until the next stop could be: a checkpoint and some segments
  };
  explicit StopRequests(Settings settings) : settings_(std::move(settings)) {}

  /// What is asked for now, signals first. Cheap enough for every second, not for every layer.
  std::optional<StopRequest> poll() const;
  void set_bytes_needed(int64_t bytes) { settings_.bytes_needed = bytes; }

 private:
  Settings settings_;
};

/// Bytes that this process may still write to the folder's disk. Throws OutputError.
int64_t free_bytes(const std::filesystem::path& folder);

}  // namespace latentcast
