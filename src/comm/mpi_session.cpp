#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <utility>

#include "host_name.h"
#include "mpi_call.h"
#include "mpi_communicator.h"
#include "peer.h"
#include "start_limit.h"
#include "wait.h"
#include "watchdog.h"
#include <ATen/core/Tensor.h>
#include <mpi.h>
#include <sys/resource.h>
#include <unistd.h>

#include "latentcast/comm/communicator.h"
#include "latentcast/comm/failure.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr std::chrono::seconds kStartDeadline(300);  // of ranks that start at different times
constexpr std::chrono::seconds kAbortActions(2);
constexpr std::chrono::seconds kAbortDeadline(5);
constexpr std::chrono::seconds kCulpritsTime(3);  // to say why it failed, before those that notice say so

bool started_by_launcher() {
  return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr || std::getenv("PMIX_RANK") != nullptr;
}

void check_not_several_alone() {
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  if (tasks != nullptr && std::atoi(tasks) > 1) {
    throw InputError(std::string("srun started ") + tasks +
                     " tasks that can't find one another: add --mpi=pmix to srun, or use mpirun");
  }
}

/// Returns whether MPI has to be ended by us.
bool start_mpi(int* argc, char*** argv) {
  int up = 0;
  check_mpi(MPI_Initialized(&up), "MPI_Initialized");
  if (up != 0) {
    return false;
  }
  int provided = 0;
  check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  if (provided < MPI_THREAD_MULTIPLE) {
    throw InternalError(
        "this MPI can't be used by several threads at once: use an Open MPI built with "
        "MPI_THREAD_MULTIPLE");
  }
  return true;
}

World find_world() {
  World world;
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &world.rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &world.size), "MPI_Comm_size");
  MPI_Comm local = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, world.rank, MPI_INFO_NULL, &local),
            "MPI_Comm_split_type");
  MPI_Comm_rank(local, &world.local_rank);
  MPI_Comm_size(local, &world.local_size);
  MPI_Comm_free(&local);
  return world;
}

/// A rank that crashes, or is torn down by a GPU's driver or by MPI, must not leave a core of all weights.
void forbid_core() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

}  // namespace

struct MpiSession::Parts {
  Speaker speaker;
  RankActivity activity;
  std::vector<Peer> peers;
  MPI_Comm watchdog_comm = MPI_COMM_NULL;  // goes with MPI
  std::unique_ptr<Watchdog> watchdog;
  std::atomic_flag ending = ATOMIC_FLAG_INIT;
  std::mutex mutex;
  std::vector<std::function<void()>> at_abort;
};

MpiSession::MpiSession(int* argc, char*** argv, Speaker speaker, std::chrono::seconds start_limit)
    : parts_(std::make_unique<Parts>()) {
  forbid_core();
  parts_->speaker = std::move(speaker);
  world_.host = host_name();
  if (!started_by_launcher()) {
    check_not_several_alone();
    own_ = make_single_communicator();
    return;
  }
  {
    const StartLimit limit(start_limit, [this, start_limit] { give_up_start(start_limit); });
    ends_mpi_ = start_mpi(argc, argv);
    started_ = true;
    world_ = find_world();
  }
  world_.host = host_name();
  own_ = make_mpi_communicator(MPI_COMM_WORLD, kStartDeadline, &parts_->activity);
  for (const std::string& host : gather_strings(world_.host)) {
    parts_->peers.push_back({static_cast<int>(parts_->peers.size()), host});
  }
  if (world_.size > 1) {
    parts_->watchdog_comm = duplicate(MPI_COMM_WORLD, kStartDeadline, &parts_->activity);
  }
}

MpiSession::~MpiSession() {
  if (std::uncaught_exceptions() > 0) {
    // The other ranks may be anywhere, and MPI_Finalize would wait for them. The launcher ends them.
    static_cast<void>(own_.release());
    return;
  }
  if (parts_->watchdog) {
    parts_->watchdog->finish();
  }
  own_.reset();
  if (ends_mpi_) {
    MPI_Finalize();
  }
  parts_->watchdog.reset();
}

/// MPI waits for a rank that is gone, which not every launcher notices.
void MpiSession::give_up_start(std::chrono::seconds limit) const noexcept {
  if (parts_->speaker) {
    parts_->speaker("a process on " + host_name() + " waited " + std::to_string(limit.count()) +
                    " s for the other ranks to start: one of them may have ended before MPI was up (its "
                    "message, or the launcher's, says why); start the run again");
  }
  _exit(static_cast<int>(ExitCode::kInternal));
}

RankActivity& MpiSession::activity() const { return parts_->activity; }

void MpiSession::watch(std::chrono::seconds timeout) const {
  if (world_.size > 1 && !parts_->watchdog) {
    parts_->watchdog = std::make_unique<Watchdog>(
        parts_->watchdog_comm, parts_->peers, parts_->activity, timeout,
        [this](const std::string& message) { end_all(static_cast<int>(ExitCode::kInternal), message); });
  }
}

std::unique_ptr<Communicator> MpiSession::cpu_communicator(std::chrono::seconds deadline) const {
  return started_ ? make_mpi_communicator(MPI_COMM_WORLD, deadline, &parts_->activity)
                  : make_single_communicator();
}

std::vector<std::string> MpiSession::gather_strings(const std::string& own) const {
  return latentcast::gather_strings(*own_, own);
}

void MpiSession::fail(const std::exception_ptr& error) const noexcept {
  const Doing doing = parts_->activity.look();
  const Failure failure = describe_failure(error);
  if (failure.of_peer) {
    std::this_thread::sleep_for(kCulpritsTime);
  }
  end_all(static_cast<int>(failure.code), own_failure({world_.rank, world_.host}, doing, failure.message));
}

/// One thread ends the run; another one that wants to is ended with it.
void MpiSession::end_all(int code, const std::string& message) const noexcept {
  while (parts_->ending.test_and_set()) {
    std::this_thread::sleep_for(kAbortDeadline);
  }
  if (parts_->speaker) {
    parts_->speaker(message);
  }
  abort(code);
}

void MpiSession::at_abort(std::function<void()> action) const {
  const std::lock_guard lock(parts_->mutex);
  parts_->at_abort.push_back(std::move(action));
}

void MpiSession::run_abort_actions() const noexcept {
  try {
    std::vector<std::function<void()>> actions;
    {
      const std::lock_guard lock(parts_->mutex);
      actions = parts_->at_abort;
    }
    if (!actions.empty()) {
      run_with_deadline(
          [actions] {
            for (const std::function<void()>& action : actions) {
              action();
            }
          },
          kAbortActions, "what is done before the end");
    }
  } catch (...) {
    // It would only have helped.
  }
}

void MpiSession::abort(int code) const noexcept {
  if (started_) {
    run_abort_actions();
    try {
      run_with_deadline([code] { MPI_Abort(MPI_COMM_WORLD, code); }, kAbortDeadline, "MPI_Abort");
    } catch (...) {
      // MPI is stuck: the launcher ends the other ranks when this one leaves.
    }
  }
  _exit(code);
}

}  // namespace latentcast
