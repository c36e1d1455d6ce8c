#pragma once

#include "latentcast/comm/communicator.h"

namespace latentcast::test {

/// The session that mpi_main.cpp owns.
const MpiSession& mpi_session();

}  // namespace latentcast::test
