#include "job_test.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "files.h"

namespace latentcast::test {

namespace fs = std::filesystem;

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::string Job::printed() const { return fs::exists(log) ? read_bytes(log) : ""; }

int Job::checkpoint() const {
  int newest = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(run / "checkpoint", none)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("clip-") && name.find('.') == std::string::npos) {
      newest = std::max(newest, std::atoi(name.c_str() + 5));
    }
  }
  return newest;
}

void wait_for_clip(const Job& job, int clip) {
  const auto describe = [&] { return "clip " + std::to_string(clip) + ": " + job.printed(); };
  const auto is_there = [&] {
    const std::string state = state_of(job.id).state;
    if (state == "COMPLETED") {
      throw std::runtime_error("the job was too fast for this test: " + describe());
    }
    return job.checkpoint() >= clip && state == "RUNNING";
  };
  wait_until(is_there, describe);
}

void send_stop_signal(const Job& job) { run_checked({"scancel", "--batch", "--signal=USR1", job.id}); }

JobTest::JobTest(const std::string& program, const std::string& job) {
  setenv("LATENTCAST_HOME", LATENTCAST_SOURCE, 1);
  setenv("LATENTCAST", program.c_str(), 1);
  unsetenv("LATENTCAST_LAUNCHER");
  unsetenv("LATENTCAST_TEST_FAULT");
  write_bytes(config(), job);
}

const SlurmLab& JobTest::lab() {
  static const SlurmLab lab;
  return lab;
}

fs::path JobTest::script(const std::string& name) { return fs::path(LATENTCAST_SOURCE) / "jobs" / name; }

Job JobTest::start(const std::string& name, const Words& options, const Words& sbatch) {
  Job job{{}, lab().work() / name, lab().work() / (name + ".out")};
  job.id = submit(Words{"--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1", "--gpus-per-node=2",
                        "--output=" + job.log.string()} +
                  sbatch + Words{script("render.sbatch"), config(), "--run_dir", job.run} + options);
  return job;
}

std::vector<Job> JobTest::start_both(const Words& options, const Words& sbatch) {
  std::vector<Job> jobs;
  for (const char* launcher : {"srun", "mpirun"}) {
    setenv("LATENTCAST_LAUNCHER", launcher, 1);
    jobs.push_back(start(own_name() + "_" + launcher, options, sbatch));
  }
  return jobs;
}

}  // namespace latentcast::test
