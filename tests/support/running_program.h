#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "program.h"
#include <sys/types.h>

namespace latentcast::test {

/// A program under way. Should it still run when this goes, it is killed.
class RunningProgram {
 public:
  explicit RunningProgram(const std::vector<std::string>& command);
  ~RunningProgram();
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;

  void signal(int number) const;
  /// Its result, as often as asked; exit code −1 if it still runs after `limit`.
  ProgramResult wait(std::chrono::seconds limit);

 private:
  TemporaryFolder output_;
  pid_t pid_ = 0;   ///< 0 once it has ended
  int status_ = 0;  ///< then
};

/// Processes that have this text in their command line.
std::vector<pid_t> processes_with(const std::string& text);

}  // namespace latentcast::test
