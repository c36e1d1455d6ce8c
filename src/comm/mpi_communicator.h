#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include <mpi.h>

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// MPI counts in 32 bits; larger tensors move in pieces of this many bytes.
inline constexpr int64_t kLargestMessage = int64_t{1} << 30;

/// All ranks of `parent`, over a duplicate of it. Collective. `activity`: of this rank, outlives it, or null.
std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm parent, std::chrono::seconds deadline,
                                                    RankActivity* activity,
                                                    int64_t largest_message = kLargestMessage);

/// A communicator of the same ranks, apart from the other. Collective, with the deadline.
MPI_Comm duplicate(MPI_Comm parent, std::chrono::seconds deadline, RankActivity* activity);

}  // namespace latentcast
