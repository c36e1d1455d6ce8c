#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "program.h"

namespace latentcast::test {

/// A Slurm cluster of two nodes on this machine (tools/slurm_lab.sh), for as long as the object lives. Making
/// it sets this process's environment so that sbatch, srun and mpirun work on it; one a process.
class SlurmLab {
 public:
  SlurmLab();
  ~SlurmLab();
  SlurmLab(const SlurmLab&) = delete;
  SlurmLab& operator=(const SlurmLab&) = delete;

  const std::vector<std::string>& nodes() const { return nodes_; }
  /// Whether each node has a host name of its own; else both have this machine's.
  bool own_host_names() const { return std::filesystem::exists(folder() + "/hosts"); }
  /// For the files of jobs; goes with the cluster.
  const std::filesystem::path& work() const { return work_.path(); }

  /// A node and all that runs on it die.
  void crash(const std::string& node) const { control({"crash", folder(), node}); }
  /// ... and it comes back.
  void boot(const std::string& node) const { control({"boot", folder(), node}); }

 private:
  static void control(const std::vector<std::string>& arguments);
  std::string folder() const { return (work_.path() / "cluster").string(); }
  void take_environment();

  TemporaryFolder work_;
  std::vector<std::string> nodes_;
};

/// What Slurm says of a job.
struct JobState {
  std::string state;  ///< PENDING, RUNNING, COMPLETED, FAILED, CANCELLED ...
  int exit_code = -1;
  int restarts = -1;
  std::string nodes;
};

/// Runs a command that must succeed (throws what it printed, if not) and returns its output.
std::string run_checked(const std::vector<std::string>& command);
std::vector<std::string> lines_of(const std::string& text);
/// Hands a job in and returns its number; the words are sbatch's options, the script and its arguments.
std::string submit(const std::vector<std::string>& words);
/// `job` may be an element of an array, as 12_3.
JobState state_of(const std::string& job);
/// Waits until a condition holds; throws after some minutes with what `describe` says.
void wait_until(const std::function<bool()>& condition, const std::function<std::string()>& describe);
/// Waits until the job has ended for good: done, failed or cancelled, and nothing of it runs.
JobState wait_for_end(const std::string& job);

}  // namespace latentcast::test
