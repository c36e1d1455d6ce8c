#include "latentcast/telemetry/run_log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace latentcast {

RunLog::RunLog(bool on_screen)
    : screen_(std::make_shared<spdlog::logger>("screen", std::make_shared<spdlog::sinks::stderr_sink_st>())) {
  screen_->set_pattern("%v");
  screen_->set_level(on_screen ? spdlog::level::info : spdlog::level::off);
}

RunLog::~RunLog() = default;

void RunLog::open(const std::filesystem::path& file) {
  try {
    file_ = std::make_shared<spdlog::logger>(
        "file", std::make_shared<spdlog::sinks::basic_file_sink_st>(file.string()));
  } catch (const spdlog::spdlog_ex& error) {
    warning(std::string("no log file: ") + error.what());
    return;
  }
  file_->set_pattern("%Y-%m-%d %H:%M:%S.%e %v");
  file_->flush_on(spdlog::level::info);
  for (const std::string& line : before_) {
    file_->info(line);
  }
  before_.clear();
}

void RunLog::info(const std::string& line) {
  screen_->info("[INFO] {}", line);
  file_only("[INFO] " + line);
}

void RunLog::info_of_any_rank(const std::string& line) {
  const spdlog::level::level_enum level = screen_->level();
  screen_->set_level(spdlog::level::info);
  info(line);
  screen_->set_level(level);
}

void RunLog::warning(const std::string& line) {
  screen_->warn("[WARNING] {}", line);
  file_only("[WARNING] " + line);
}

void RunLog::file_only(const std::string& line) {
  if (file_) {
    file_->info(line);
  } else {
    before_.push_back(line);
  }
}

}  // namespace latentcast
