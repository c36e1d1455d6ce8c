#pragma once

namespace latentcast {

/// Throws InternalError with MPI's own text if an MPI call gave an error code.
void check_mpi(int code, const char* call);

}  // namespace latentcast
