#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace spdlog {
class logger;
}

namespace latentcast {

/// What a command tells its user: on stderr at once, and with times in the run's log file once there is a run
/// folder.
class RunLog {
 public:
  /// `on_screen`: whether lines go to stderr; of several ranks one is enough.
  explicit RunLog(bool on_screen = true);
  ~RunLog();

  /// Lines so far and from now on also go to `file`, whose folder is made. A file that can't be written is
  /// reported once; the render goes on.
  void open(const std::filesystem::path& file);
  bool is_open() const { return file_ != nullptr; }

  void info(const std::string& line);
  void warning(const std::string& line);
  /// On the screen whichever rank this is: what one rank alone has to say.
  void info_of_any_rank(const std::string& line);
  /// For the log file alone: what a terminal shows as a moving line.
  void file_only(const std::string& line);

 private:
  std::shared_ptr<spdlog::logger> screen_, file_;
  std::vector<std::string> before_;
};

}  // namespace latentcast
