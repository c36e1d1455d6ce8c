#include "latentcast/pipeline/render.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <memory>

#include "commands.h"
#include "progress_line.h"
#include <nlohmann/json.hpp>

#include "latentcast/comm/coordinate.h"
#include "latentcast/config/options.h"
#include "latentcast/error.h"
#include "latentcast/progress/durable_file.h"
#include "latentcast/progress/run_directory.h"
#include "latentcast/progress/stop_requests.h"
#include "latentcast/telemetry/memory.h"
#include "latentcast/telemetry/run_log.h"

namespace latentcast {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kStartDeadline(300);  // of ranks that start at different times

std::string time_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d_%H%M%S", &local);
  return text;
}

/// Seconds that each phase of a render took.
class PhaseClock {
 public:
  void enter(const std::string& phase) {
    const Clock::time_point now = Clock::now();
    if (!phase_.empty()) {
      seconds_[phase_] = std::chrono::duration<double>(now - since_).count();
    }
    phase_ = phase;
    since_ = now;
  }
  const std::string& phase() const { return phase_; }
  const nlohmann::ordered_json& seconds() const { return seconds_; }

 private:
  std::string phase_;
  Clock::time_point since_;
  nlohmann::ordered_json seconds_ = nlohmann::ordered_json::object();
};

std::string report(const RenderResult& result, const PhaseClock& clock, int argc, const char* const* argv) {
  nlohmann::ordered_json json;
  json["version"] = LATENTCAST_VERSION;
  json["arguments"] = std::vector<std::string>(argv, argv + argc);
  json["device"] = result.device;
  json["video"] = result.video.string();
  json["width"] = result.width;
  json["height"] = result.height;
  json["frames"] = result.frames;
  json["clips"] = result.clips;
  json["layout"] = nlohmann::ordered_json::parse(result.layout);
  json["seconds"] = clock.seconds();
  json["peak_resident_bytes"] = peak_resident_bytes();
  json["peak_device_bytes"] = result.peak_device_bytes;
  for (const std::string& rank : result.ranks) {
    json["ranks"].push_back(nlohmann::ordered_json::parse(rank));
  }
  // Arguments may hold bytes that are no UTF-8.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string log_name(int rank) {
  char name[32];
  std::snprintf(name, sizeof name, "rank-%04d.log", rank);
  return name;
}

/// Shows progress and keeps it in the log and on the clock.
RenderResult render_with_progress(const RenderJob& job, const MpiSession& mpi, RunLog& log,
                                  PhaseClock& clock) {
  ProgressLine line;
  int64_t clips = 0;
  const auto show = [&](const RenderProgress& progress) {
    if (progress.phase != clock.phase()) {
      clock.enter(progress.phase);
      if (!log.is_open()) {
        log.open(job.run_dir / "log" / log_name(mpi.world().rank));
      }
      log.file_only(phase_text(progress.phase));
    }
    if (progress.clips_done > clips) {
      clips = progress.clips_done;
      log.file_only(progress_text(progress));
    }
    line.show(progress);
  };
  return render(job, mpi, show, [&](const std::string& note) { log.info_of_any_rank(note); });
}

}  // namespace

int run_render(int argc, const char* const* argv, const MpiSession& mpi) {
  const bool root = mpi.world().rank == 0;
  const std::unique_ptr<Communicator> control = mpi.cpu_communicator(kStartDeadline);
  ParsedArgs args = coordinate(*control, [&] { return parse_render_args(argc, argv); });
  if (args.help) {
    std::cout << (root ? render_help() : std::string());
    return 0;
  }
  RunLog log(root);
  for (const std::string& notice : args.notices) {
    log.info(notice);
  }
  for (const std::string& warning : coordinate(*control, [&] { return validate(args.job); })) {
    log.warning(warning);
  }
  mpi.activity().set_stop_sign([] { return StopSignals::received() != 0; });
  mpi.watch(std::chrono::seconds(args.job.timeout));
  coordinate(*control, [&] { adopt_earlier_choices(args.job); });
  choose_unset(args.job, time_stamp());
  if (args.job.decode == DecodeMode::kOnline) {
    log.info("Online decoding enabled for VAE");
  }
  PhaseClock clock;
  const RenderResult result = render_with_progress(args.job, mpi, log, clock);
  clock.enter("done");
  if (result.end == RenderEnd::kStopped) {
    log.warning("stopped by " + result.stop_reason + "; what is finished is in " + args.job.run_dir.string() +
                ", the same command line continues it");
    return static_cast<int>(result.disk_is_low ? ExitCode::kOutput : ExitCode::kStopped);
  }
  if (!root) {
    return 0;
  }
  if (result.end == RenderEnd::kWasFinished) {
    std::cout << result.video.string() << ": was finished by an earlier run" << std::endl;
    return 0;
  }
  write_text_file(args.job.run_dir / "report.json", report(result, clock, argc, argv));
  std::cout << result.video.string() << ": " << result.frames << " frames of " << result.width << "x"
            << result.height << ", " << result.clips << (result.clips == 1 ? " clip" : " clips") << std::endl;
  return 0;
}

}  // namespace latentcast
