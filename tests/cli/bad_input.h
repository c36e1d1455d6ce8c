#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include "program.h"

namespace latentcast::test {

/// A small job in files of its own, a copy of tests/data/tiny, for one thing in it to be damaged.
class TinyJob {
 public:
  TinyJob();

  std::filesystem::path path(const std::string& name) const { return root_.path() / name; }
  std::filesystem::path checkpoint(const std::string& name) const { return path("checkpoint") / name; }
  std::filesystem::path run_dir() const { return options.at("run_dir"); }
  /// The command line.
  std::vector<std::string> arguments() const;

  /// By name, without the dashes.
  std::map<std::string, std::string> options;
  /// Put behind the options as they are.
  std::vector<std::string> more;

 private:
  TemporaryFolder root_;
};

/// What is done to a job, and what the program must say to it.
struct BadInput {
  const char* name;  ///< of the test
  std::function<void(TinyJob&)> damage;
  std::vector<std::string> says;  ///< all of this is in the message: the thing, and what to do about it
  int exit_code = 64;
};

/// Runs the program and expects this exit code, one line of error with all of `says`, and nothing
/// half-written.
void expect_refused(const TinyJob& job, int exit_code, const std::vector<std::string>& says);

/// For GoogleTest.
void PrintTo(const BadInput& bad, std::ostream* out);

std::vector<BadInput> bad_options();
std::vector<BadInput> bad_job_files();
std::vector<BadInput> bad_checkpoints();
std::vector<BadInput> bad_media();
std::vector<BadInput> bad_places();

}  // namespace latentcast::test
