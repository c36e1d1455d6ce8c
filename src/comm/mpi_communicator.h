#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include <mpi.h>

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// MPI counts in 32 bits; larger tensors move in pieces of this many bytes.
inline constexpr int64_t kLargestMessage = int64_t{1} << 30;

/// All ranks of `parent`, over a duplicate of it. Collective.
std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm parent, std::chrono::seconds deadline,
                                                    int64_t largest_message = kLargestMessage);

}  // namespace latentcast
