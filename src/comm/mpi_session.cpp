#include <cstdlib>
#include <exception>
#include <string>

#include "host_name.h"
#include "mpi_call.h"
#include "mpi_communicator.h"
#include "wait.h"
#include <ATen/core/Tensor.h>
#include <mpi.h>
#include <unistd.h>

#include "latentcast/comm/communicator.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr std::chrono::seconds kStartDeadline(300);  // of ranks that start at different times
constexpr std::chrono::seconds kAbortDeadline(5);

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

}  // namespace

MpiSession::MpiSession(int* argc, char*** argv) {
  if (started_by_launcher()) {
    ends_mpi_ = start_mpi(argc, argv);
    started_ = true;
    world_ = find_world();
    own_ = make_mpi_communicator(MPI_COMM_WORLD, kStartDeadline);
  } else {
    check_not_several_alone();
    own_ = make_single_communicator();
  }
  world_.host = host_name();
}

MpiSession::~MpiSession() {
  if (std::uncaught_exceptions() > 0) {
    // The other ranks may be anywhere, and MPI_Finalize would wait for them. The launcher ends them.
    static_cast<void>(own_.release());
    return;
  }
  own_.reset();
  if (ends_mpi_) {
    MPI_Finalize();
  }
}

std::unique_ptr<Communicator> MpiSession::cpu_communicator(std::chrono::seconds deadline) const {
  return started_ ? make_mpi_communicator(MPI_COMM_WORLD, deadline) : make_single_communicator();
}

std::vector<std::string> MpiSession::gather_strings(const std::string& own) const {
  return latentcast::gather_strings(*own_, own);
}

void MpiSession::abort(int code) const noexcept {
  if (started_) {
    try {
      run_with_deadline([code] { MPI_Abort(MPI_COMM_WORLD, code); }, kAbortDeadline, "MPI_Abort");
    } catch (...) {
      // MPI is stuck: the launcher ends the other ranks when this one leaves.
    }
  }
  _exit(code);
}

}  // namespace latentcast
