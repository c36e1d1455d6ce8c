// The job scripts on a real Slurm: what happens to a render that is stopped, cancelled, preempted, killed, or
// loses its node. The signal is sent by hand where Slurm itself would take minutes; tests named Long wait for
// it.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>

#include "files.h"
#include "lab.h"
#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

using Words = std::vector<std::string>;

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

struct Job {
  std::string id;
  fs::path run;
  fs::path log;

  std::string printed() const { return fs::exists(log) ? read_bytes(log) : ""; }
  /// Clips that the newest checkpoint has behind it.
  int checkpoint() const {
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
};

class SlurmJobs : public testing::Test {
 protected:
  SlurmJobs() {
    setenv("LATENTCAST_HOME", LATENTCAST_SOURCE, 1);
    setenv("LATENTCAST", LATENTCAST_STAND_IN, 1);
    unsetenv("LATENTCAST_LAUNCHER");
    std::ofstream(config()) << "prompt: none\n";
  }

  static const SlurmLab& lab() {
    static const SlurmLab lab;
    return lab;
  }
  static fs::path script(const std::string& name) { return fs::path(LATENTCAST_SOURCE) / "jobs" / name; }
  static fs::path config() { return lab().work() / "job.yaml"; }
  static std::string own_name() { return testing::UnitTest::GetInstance()->current_test_info()->name(); }

  /// The bytes of a run that nothing happened to.
  static std::string video(int clips) {
    std::string text;
    for (int clip = 0; clip < clips; ++clip) {
      text += "clip " + std::to_string(clip) + "\n";
    }
    return text;
  }

  /// Four ranks on two nodes.
  static Job start(const std::string& name, const Words& options, const Words& sbatch = {}) {
    Job job{{}, lab().work() / name, lab().work() / (name + ".out")};
    job.id = submit(Words{"--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1", "--gpus-per-node=2",
                          "--output=" + job.log.string()} +
                    sbatch + Words{script("render.sbatch"), config(), "--run_dir", job.run} + options);
    return job;
  }

  /// One by srun and one by mpirun, at the same time.
  static std::vector<Job> start_both(const Words& options, const Words& sbatch = {}) {
    std::vector<Job> jobs;
    for (const char* launcher : {"srun", "mpirun"}) {
      setenv("LATENTCAST_LAUNCHER", launcher, 1);
      jobs.push_back(start(own_name() + "_" + launcher, options, sbatch));
    }
    return jobs;
  }

  /// Waits until the job has come so far, and runs.
  static void wait_for_clip(const Job& job, int clip) {
    wait_until([&] { return job.checkpoint() >= clip && state_of(job.id).state == "RUNNING"; },
               [&] { return "clip " + std::to_string(clip) + ": " + job.printed(); });
  }
  /// What --signal=B:USR1@... does.
  static void send_stop_signal(const Job& job) {
    run_checked({"scancel", "--batch", "--signal=USR1", job.id});
  }

  static void expect_finished(const Job& job, int clips, int restarts) {
    const JobState state = wait_for_end(job.id);
    EXPECT_EQ(state.state, "COMPLETED") << job.printed();
    EXPECT_EQ(state.restarts, restarts) << job.printed();
    ASSERT_TRUE(fs::exists(job.run / "video.mp4")) << job.printed();
    EXPECT_TRUE(read_bytes(job.run / "video.mp4") == video(clips)) << "video differs";
  }
};

TEST_F(SlurmJobs, StoppedByTheirSignalThreeTimesTheyFinish) {
  const std::vector<Job> jobs = start_both({"--num_clip", "24"});
  for (int stop = 1; stop <= 3; ++stop) {
    for (const Job& job : jobs) {
      wait_for_clip(job, 4 * stop);
      send_stop_signal(job);
    }
    for (const Job& job : jobs) {
      wait_until([&] { return state_of(job.id).restarts >= stop; }, [&] { return job.printed(); });
    }
  }
  for (const Job& job : jobs) {
    expect_finished(job, 24, 3);
  }
}

TEST_F(SlurmJobs, ThatLoseANodeComeAgain) {
  const std::vector<Job> jobs = start_both({"--num_clip", "24"});
  for (const Job& job : jobs) {
    wait_for_clip(job, 3);
  }
  run_checked({"scontrol", "update", "nodename=" + lab().nodes()[1], "state=down", "reason=test"});
  for (const Job& job : jobs) {
    expect_finished(job, 24, 1);
  }
}

TEST_F(SlurmJobs, CancelledTheyStaySoAndContinueWhenSubmittedAgain) {
  const std::vector<Job> jobs = start_both({"--num_clip", "24"});
  for (const Job& job : jobs) {
    wait_for_clip(job, 3);
    run_checked({"scancel", job.id});
  }
  for (const Job& job : jobs) {
    const JobState state = wait_for_end(job.id);
    EXPECT_EQ(state.state, "CANCELLED") << job.printed();
    EXPECT_EQ(state.restarts, 0);
    EXPECT_FALSE(fs::exists(job.run / "video.mp4"));
  }
  for (const Job& job : start_both({"--num_clip", "24"})) {
    expect_finished(job, 24, 0);
    EXPECT_THAT(job.printed(), HasSubstr("newest checkpoint: clip-"));
  }
}

TEST_F(SlurmJobs, PreemptedTheyComeAgain) {
  const std::vector<Job> jobs = start_both({"--num_clip", "24"});
  for (const Job& job : jobs) {
    wait_for_clip(job, 3);
  }
  run_checked({"srun", "--quiet", "--mpi=none", "--partition=urgent", "--nodes=2", "--exclusive", "true"});
  for (const Job& job : jobs) {
    expect_finished(job, 24, 1);
  }
}

TEST_F(SlurmJobs, AKilledRankMeansAnotherStartOnlyAfterANewerCheckpoint) {
  for (const Job& job : start_both({"--num_clip", "8", "--die_at", "3"})) {
    const JobState state = wait_for_end(job.id);
    EXPECT_EQ(state.state, "FAILED");
    EXPECT_EQ(state.exit_code, 137);
    EXPECT_EQ(state.restarts, 1) << job.printed();
    EXPECT_THAT(job.printed(), HasSubstr("no newer checkpoint than clip-000003"));
  }
}

TEST_F(SlurmJobs, BadInputAFullDiskAndAStopBeforeACheckpointAreFinal) {
  const std::map<int, Job> jobs = {{64, start("input", {"--exit_at", "2:64"})},
                                   {74, start("disk", {"--exit_at", "2:74"})},
                                   {70, start("early", {"--exit_at", "0:70"})}};
  for (const auto& [code, job] : jobs) {
    const JobState state = wait_for_end(job.id);
    EXPECT_EQ(state.state, "FAILED");
    EXPECT_EQ(state.exit_code, code);
    EXPECT_EQ(state.restarts, 0) << job.printed();
  }
}

TEST_F(SlurmJobs, ASiteThatRequeuesBy75ItselfIsNoTrouble) {
  const fs::path conf = std::getenv("SLURM_CONF");
  const std::string before = read_bytes(conf);
  write_bytes(conf, before + "RequeueExit=75\n");
  run_checked({"scontrol", "reconfigure"});
  const std::vector<Job> jobs = start_both({"--num_clip", "16", "--exit_at", "3:75"});
  const Job stopped = start("stopped", {"--num_clip", "100"});
  wait_for_clip(stopped, 1);
  write_bytes(stopped.run / "stop", "");
  for (const Job& job : jobs) {
    expect_finished(job, 16, 1);
  }
  EXPECT_EQ(wait_for_end(stopped.id).exit_code, 64);  // Slurm starts it once more, and the program refuses
  write_bytes(conf, before);
  run_checked({"scontrol", "reconfigure"});
}

TEST_F(SlurmJobs, AStopFileMeansNoOtherStart) {
  const Job job = start(own_name(), {"--num_clip", "100"});
  wait_for_clip(job, 2);
  write_bytes(job.run / "stop", "");
  const JobState state = wait_for_end(job.id);
  EXPECT_EQ(state.state, "FAILED");
  EXPECT_EQ(state.exit_code, 75);
  EXPECT_EQ(state.restarts, 0) << job.printed();
}

TEST_F(SlurmJobs, TheRunFolderIsTheConfigsOrOutput) {
  const fs::path other = lab().work() / "named.yaml", run = lab().work() / "from config";
  write_bytes(other, "prompt: none\nrun_dir: \"from config\"  # a name with a space\n");
  const auto submit_in_work = [&](const fs::path& job_config) {
    return wait_for_end(
        submit({"--chdir=" + lab().work().string(), "--ntasks-per-node=1", "--cpus-per-task=1",
                "--output=%j.out", script("render.sbatch"), job_config, "--seconds", "0"}));
  };
  EXPECT_EQ(submit_in_work(other).state, "FAILED");  // the stand-in does not read its config
  EXPECT_EQ(submit_in_work(config()).state, "COMPLETED");
  EXPECT_TRUE(fs::exists(lab().work() / "output" / "job" / "video.mp4"));
}

// One of them stops early and comes again; its neighbours don't notice.
TEST_F(SlurmJobs, AnArrayRendersItsList) {
  const fs::path list = lab().work() / "list.txt";
  std::string text = "# a comment\n\n";
  for (int job = 1; job <= 4; ++job) {
    text += config().string() + " --run_dir " + (lab().work() / ("array" + std::to_string(job))).string() +
            " --num_clip " + std::to_string(4 + job) + (job == 2 ? " --exit_at 3:75" : "") +
            "  # the last word\n";
  }
  write_bytes(list, text);
  const Words sbatch = {"--cpus-per-task=1", "--mem-per-gpu=100",
                        "--output=" + (lab().work() / "array_%a.out").string()};
  const std::string array = submit(sbatch + Words{"--array=1-4%2", script("array.sbatch"), list});
  for (int job = 1; job <= 4; ++job) {
    const std::string number = std::to_string(job);
    SCOPED_TRACE(number);
    expect_finished({array + "_" + number, lab().work() / ("array" + number),
                     lab().work() / ("array_" + number + ".out")},
                    4 + job, job == 2 ? 1 : 0);
  }
  const std::string beyond = submit(sbatch + Words{"--array=5", script("array.sbatch"), list});
  EXPECT_EQ(wait_for_end(beyond + "_5").exit_code, 64);
  EXPECT_THAT(read_bytes(lab().work() / "array_5.out"), HasSubstr("--array=1-4"));
}

// Where Slurm takes minutes.
class LongSlurmJobs : public SlurmJobs {};

TEST_F(LongSlurmJobs, TheTimeLimitStopsThem) {
  const std::vector<Job> jobs =
      start_both({"--num_clip", "90", "--seconds", "1"}, {"--time=1", "--signal=B:USR1@30"});
  for (const Job& job : jobs) {
    EXPECT_EQ(wait_for_end(job.id).state, "COMPLETED") << job.printed();
    EXPECT_GE(state_of(job.id).restarts, 1) << job.printed();
    EXPECT_TRUE(read_bytes(job.run / "video.mp4") == video(90));
  }
}

TEST_F(LongSlurmJobs, TheirNodeDies) {
  const std::vector<Job> jobs = start_both({"--num_clip", "60", "--seconds", "1"});
  for (const Job& job : jobs) {
    wait_for_clip(job, 3);
  }
  lab().crash(lab().nodes()[1]);
  for (const Job& job : jobs) {
    wait_until([&] { return state_of(job.id).state == "PENDING"; }, [&] { return job.printed(); });
  }
  lab().boot(lab().nodes()[1]);
  for (const Job& job : jobs) {
    expect_finished(job, 60, 1);
  }
}

}  // namespace
}  // namespace latentcast::test
