#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace latentcast::test {

struct ProgramResult {
  int exit_code = -1;  ///< 128 + signal if it was killed
  std::string out, err;
};

/// Runs the latentcast binary ($LATENTCAST_PROGRAM) with these arguments and waits for it.
ProgramResult run_latentcast(const std::vector<std::string>& args);
/// Any program, found in PATH.
ProgramResult run_program(const std::vector<std::string>& command);

/// A folder that goes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// tests/data.
std::filesystem::path data_folder();

/// The command line of a render of tests/data/cases/NAME (or of tests/data/tiny) into `run_dir`, on the CPU.
std::vector<std::string> case_arguments(const std::string& name, const std::filesystem::path& run_dir);

}  // namespace latentcast::test
