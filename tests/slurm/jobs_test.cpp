// The job scripts with the program itself on a real Slurm: a render that is stopped, cancelled, preempted,
// killed, or loses its node ends in the bytes of one that nothing happened to. The signal is sent by hand
// where Slurm itself would take minutes; tests named Long take minutes, or wait for Slurm.
#include <algorithm>
#include <cstdlib>
#include <map>

#include "files.h"
#include "job_test.h"
#include "running_program.h"
#include <gmock/gmock.h>

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

constexpr int kClips = 18;
constexpr int kClipSamples = 7680;  // 12 frames at 25 a second, 16 kHz

class SlurmJobs : public JobTest {
 protected:
  SlurmJobs() : JobTest(std::getenv("LATENTCAST_PROGRAM"), job_text()) {}

  /// The tiny case with a longer sound in short clips, and checkpoints as often as there can be.
  static std::string job_text() {
    const fs::path tiny = data_folder() / "tiny", sound = lab().work() / "speech.wav";
    write_wav(sound, repeated(read_wav(tiny / "speech.wav"), static_cast<size_t>(kClips * kClipSamples)));
    return "ckpt_dir: " + (tiny / "checkpoint").string() + "\nimage: " + (tiny / "portrait.png").string() +
           "\naudio: " + sound.string() +
           "\nprompt: none\nsize: \"64*64\"\nbase_seed: 1\nload_lora: true\ndevice: cpu\nthreads: 1\n"
           "infer_frames: 12\ncheckpoint_clips: 1\n";
  }

  /// The bytes of a run that nothing happened to, on one rank.
  static const std::string& video(int clips) {
    static std::map<int, std::string> videos;
    std::string& bytes = videos[clips];
    if (bytes.empty()) {
      const fs::path run = lab().work() / ("whole" + std::to_string(clips));
      const ProgramResult result =
          run_latentcast({"render", "--config", config(), "--run_dir", run, "--num_clip",
                          std::to_string(clips), "--checkpoint_clips", std::to_string(clips)});
      EXPECT_EQ(result.exit_code, 0) << result.err;
      bytes = read_bytes(run / "video.mp4");
    }
    return bytes;
  }

  static void expect_video(const Job& job, int clips) {
    ASSERT_TRUE(fs::exists(job.run / "video.mp4")) << job.printed();
    EXPECT_TRUE(read_bytes(job.run / "video.mp4") == video(clips)) << "the video differs" << job.printed();
  }

  static void expect_finished(const Job& job, int restarts, int clips = kClips) {
    const JobState state = wait_for_end(job.id);
    EXPECT_EQ(state.state, "COMPLETED") << job.printed();
    EXPECT_EQ(state.restarts, restarts) << job.printed();
    expect_video(job, clips);
  }

  /// Ranks of jobs submitted from now on fail so (src/cli/test_fault.h).
  static void set_fault(const std::string& what, const std::string& at) {
    const std::string fault = what + ",mark=" + (lab().work() / "fault").string() + ",at=" + at;
    setenv("LATENTCAST_TEST_FAULT", fault.c_str(), 1);
    fs::remove(go());
  }
  static fs::path go() { return lab().work() / "fault.go"; }
  /// ... take five seconds more for every clip until go_on(): a job must not be too fast for what a test does
  /// to it, however busy the machine is.
  static void hold() { set_fault("rank=0,do=hold", "timestep 0, layer 0"); }
  static void go_on() { write_bytes(go(), ""); }
};

/// Sends a job its signal each time that it has a checkpoint more than at its start.
class Stopper {
 public:
  explicit Stopper(const Job& job) : job_(job) {}

  /// Whether it has been stopped and started again so many times.
  bool done(int times) {
    const JobState state = state_of(job_.id);
    EXPECT_NE(state.state, "COMPLETED") << "too fast for this test: " << job_.printed();
    if (asked_ && state.restarts > stops_) {
      asked_ = false;
      stops_ = state.restarts;
      before_ = job_.checkpoint();
    } else if (!asked_ && stops_ < times && state.state == "RUNNING" && job_.checkpoint() > before_) {
      asked_ = true;
      send_stop_signal(job_);
    }
    return stops_ >= times || testing::Test::HasFailure();
  }

 private:
  Job job_;
  bool asked_ = false;
  int stops_ = 0, before_ = 0;
};

TEST_F(SlurmJobs, StoppedByTheirSignalThreeTimesTheyFinish) {
  hold();
  const std::vector<Job> jobs = start_both({});
  Stopper first(jobs[0]), second(jobs[1]);
  wait_until([&] { return first.done(3) & second.done(3); },
             [&] { return jobs[0].printed() + jobs[1].printed(); });
  go_on();
  for (const Job& job : jobs) {
    expect_finished(job, 3);
    EXPECT_THAT(job.printed(), HasSubstr("stopped by SIGUSR1"));
    EXPECT_THAT(job.printed(), HasSubstr("continues after clip"));
  }
}

TEST_F(SlurmJobs, CancelledTheyStaySoAndContinueWhenSubmittedAgain) {
  hold();
  const std::vector<Job> jobs = start_both({});
  for (const Job& job : jobs) {
    wait_for_clip(job, 2);
  }
  for (const Job& job : jobs) {
    run_checked({"scancel", job.id});
  }
  for (const Job& job : jobs) {
    const JobState state = wait_for_end(job.id);
    EXPECT_EQ(state.state, "CANCELLED") << job.printed();
    EXPECT_EQ(state.restarts, 0);
    EXPECT_FALSE(fs::exists(job.run / "video.mp4"));
  }
  unsetenv("LATENTCAST_TEST_FAULT");
  for (const Job& job : start_both({})) {
    expect_finished(job, 0);
    EXPECT_THAT(job.printed(), HasSubstr("newest checkpoint: clip-"));
    EXPECT_THAT(job.printed(), HasSubstr("continues after clip"));
  }
}

TEST_F(SlurmJobs, AStopFileMeansNoOtherStart) {
  hold();
  const Job job = start(own_name(), {});
  wait_for_clip(job, 2);
  write_bytes(job.run / "stop", "");
  go_on();
  const JobState state = wait_for_end(job.id);
  EXPECT_EQ(state.state, "FAILED");
  EXPECT_EQ(state.exit_code, 75) << job.printed();
  EXPECT_EQ(state.restarts, 0) << job.printed();
}

class LongSlurmJobs : public SlurmJobs {};

TEST_F(LongSlurmJobs, ThatLoseANodeComeAgain) {
  hold();
  const std::vector<Job> jobs = start_both({});
  for (const Job& job : jobs) {
    wait_for_clip(job, 3);
  }
  run_checked({"scontrol", "update", "nodename=" + lab().nodes()[1], "state=down", "reason=test"});
  go_on();
  for (const Job& job : jobs) {
    expect_finished(job, 1);
  }
}

TEST_F(LongSlurmJobs, PreemptedTheyComeAgain) {
  hold();
  const std::vector<Job> jobs = start_both({});
  for (const Job& job : jobs) {
    wait_for_clip(job, 3);
  }
  run_checked({"srun", "--quiet", "--mpi=none", "--partition=urgent", "--nodes=2", "--exclusive", "true"});
  go_on();
  for (const Job& job : jobs) {
    expect_finished(job, 1);
  }
}

// The second start dies before there is anything new to continue from, and so does a third.
TEST_F(LongSlurmJobs, AKilledRankMeansOneMoreStartInVain) {
  set_fault("rank=1,do=hold-kill", "timestep 1, layer 0");
  const std::vector<Job> jobs = start_both({});
  for (const Job& job : jobs) {
    wait_for_clip(job, 1);
  }
  go_on();
  for (const Job& job : jobs) {
    const JobState state = wait_for_end(job.id);
    EXPECT_EQ(state.state, "FAILED");
    EXPECT_EQ(state.exit_code, 137) << job.printed();
    EXPECT_EQ(state.restarts, 2) << job.printed();
    EXPECT_THAT(job.printed(), HasSubstr("the first start in vain; to be started again"));
    EXPECT_THAT(job.printed(), HasSubstr("it will not be started again"));
  }
}

/// Their second start has a rank that dies while MPI starts: whoever waits for it leaves, and a third start
/// comes to the end.
class LongSlurmStarts : public SlurmJobs {
 protected:
  static void expect_one_in_vain(const std::string& way, const std::string& signal, const Words& launchers) {
    setenv("LATENTCAST", LATENTCAST_DIES_AT_START, 1);
    setenv("DIES", way.c_str(), 1);
    setenv("DIES_BY", signal.c_str(), 1);
    fs::remove("core");
    hold();
    std::vector<Job> jobs;
    for (const std::string& launcher : launchers) {
      setenv("LATENTCAST_LAUNCHER", launcher.c_str(), 1);
      jobs.push_back(start(own_name() + "_" + launcher, {}));
    }
    for (const Job& job : jobs) {
      wait_for_clip(job, 3);
      send_stop_signal(job);
    }
    go_on();
    for (const Job& job : jobs) {
      expect_finished(job, 2);
      EXPECT_THAT(job.printed(), HasSubstr("the first start in vain; to be started again"));
      wait_until([&] { return processes_with(job.run).empty(); },
                 [&] { return "processes of " + job.run.string() + " to be gone"; });
    }
    EXPECT_FALSE(fs::exists("core")) << "it lies where jobs were submitted";
  }
};

TEST_F(LongSlurmStarts, WhereARankCrashesComeAgain) {
  expect_one_in_vain("during", "SEGV", {"srun", "mpirun"});
}

// Nobody but srun knows that it was there.
TEST_F(LongSlurmStarts, WhereARankIsKilledBeforeMpiComeAgain) {
  expect_one_in_vain("before", "KILL", {"srun", "mpirun"});
}

TEST_F(LongSlurmJobs, ASiteThatRequeuesBy75ItselfIsNoTrouble) {
  const fs::path conf = std::getenv("SLURM_CONF");
  const std::string before = read_bytes(conf);
  write_bytes(conf, before + "RequeueExit=75\n");
  run_checked({"scontrol", "reconfigure"});
  hold();
  const std::vector<Job> jobs = start_both({});
  for (const Job& job : jobs) {
    wait_for_clip(job, 3);
    send_stop_signal(job);
  }
  go_on();
  for (const Job& job : jobs) {
    expect_finished(job, 1);
  }
  hold();  // the nodes have room for two of these jobs at a time
  const Job stopped = start("stopped", {});
  wait_for_clip(stopped, 1);
  write_bytes(stopped.run / "stop", "");
  go_on();
  EXPECT_EQ(wait_for_end(stopped.id).exit_code, 64);  // Slurm starts it once more, and the program refuses
  EXPECT_THAT(stopped.printed(), HasSubstr("asks for a stop before anything has begun"));
  write_bytes(conf, before);
  run_checked({"scontrol", "reconfigure"});
}

// One of them stops early and comes again; its neighbours don't notice.
TEST_F(LongSlurmJobs, AnArrayRendersItsList) {
  const fs::path list = lab().work() / "list.txt";
  std::string text = "# a comment\n\n";
  const auto clips = [](int job) { return job == 2 ? kClips : 2 + job; };
  for (int job = 1; job <= 4; ++job) {
    text += config().string() + " --run_dir " + (lab().work() / ("array" + std::to_string(job))).string() +
            " --num_clip " + std::to_string(clips(job)) + "  # the last word\n";
  }
  write_bytes(list, text);
  hold();
  const Words sbatch = {"--cpus-per-task=1", "--mem-per-gpu=100",
                        "--output=" + (lab().work() / "array_%a.out").string()};
  const std::string array = submit(sbatch + Words{"--array=1-4", script("array.sbatch"), list});
  const auto element = [&](int job) {
    const std::string number = std::to_string(job);
    return Job{array + "_" + number, lab().work() / ("array" + number),
               lab().work() / ("array_" + number + ".out")};
  };
  wait_for_clip(element(2), 2);
  // While one of them waits, Slurm 22.05 sends a signal again and again.
  wait_until([&] { return state_of(element(4).id).state != "PENDING"; }, [] { return "the last element"; });
  send_stop_signal(element(2));
  go_on();
  for (int job = 1; job <= 4; ++job) {
    SCOPED_TRACE(job);
    expect_finished(element(job), job == 2 ? 1 : 0, clips(job));
  }
  const std::string beyond = submit(sbatch + Words{"--array=5", script("array.sbatch"), list});
  EXPECT_EQ(wait_for_end(beyond + "_5").exit_code, 64);
  EXPECT_THAT(read_bytes(lab().work() / "array_5.out"), HasSubstr("--array=1-4"));
}

// Slurm's signal may be up to a minute early: it comes 30 to 90 s after the start.
TEST_F(LongSlurmJobs, TheTimeLimitStopsThem) {
  set_fault("rank=0,do=hold", "timestep 0, layer");  // ten seconds a clip: more than two minutes, the limit
  const std::vector<Job> jobs = start_both({}, {"--time=2", "--signal=B:USR1@30"});
  for (const Job& job : jobs) {
    wait_until([&] { return state_of(job.id).restarts > 0; }, [&] { return job.printed(); });
  }
  go_on();
  for (const Job& job : jobs) {
    EXPECT_EQ(wait_for_end(job.id).state, "COMPLETED") << job.printed();
    EXPECT_THAT(job.printed(), HasSubstr("stopped by SIGUSR1"));
    expect_video(job, kClips);
  }
}

TEST_F(LongSlurmJobs, TheirNodeDies) {
  hold();
  const std::vector<Job> jobs = start_both({});
  for (const Job& job : jobs) {
    wait_for_clip(job, 3);
  }
  lab().crash(lab().nodes()[1]);
  go_on();
  for (const Job& job : jobs) {
    wait_until([&] { return state_of(job.id).state == "PENDING"; }, [&] { return job.printed(); });
  }
  lab().boot(lab().nodes()[1]);
  for (const Job& job : jobs) {
    EXPECT_EQ(wait_for_end(job.id).state, "COMPLETED") << job.printed();
    // Slurm calls a node idle before it is ready for mpirun's daemons: that start was in vain.
    EXPECT_THAT(state_of(job.id).restarts, AnyOf(1, 2)) << job.printed();
    expect_video(job, kClips);
  }
}

}  // namespace
}  // namespace latentcast::test
