#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lab.h"
#include <gtest/gtest.h>

namespace latentcast::test {

using Words = std::vector<std::string>;
Words operator+(Words words, const Words& more);

struct Job {
  std::string id;
  std::filesystem::path run;
  std::filesystem::path log;

  std::string printed() const;
  /// Clips that the newest checkpoint has behind it.
  int checkpoint() const;
};

/// Waits until the job runs and has a checkpoint after `clip` clips or more.
void wait_for_clip(const Job& job, int clip);
/// What --signal=B:USR1@... does.
void send_stop_signal(const Job& job);

/// Tests of jobs/render.sbatch and array.sbatch on one cluster, which all tests of a program share.
class JobTest : public testing::Test {
 protected:
  /// `program`: what the scripts start, latentcast or what stands in for it; `config`: its job.
  JobTest(const std::string& program, const std::string& config);

  static const SlurmLab& lab();
  static std::filesystem::path script(const std::string& name);
  static std::filesystem::path config() { return lab().work() / "job.yaml"; }
  static std::string own_name() { return testing::UnitTest::GetInstance()->current_test_info()->name(); }

  /// Four ranks on two nodes.
  static Job start(const std::string& name, const Words& options, const Words& sbatch = {});
  /// One by srun and one by mpirun, at the same time.
  static std::vector<Job> start_both(const Words& options, const Words& sbatch = {});
};

}  // namespace latentcast::test
