#include "mpi_call.h"

#include <string>

#include <mpi.h>

#include "latentcast/error.h"

namespace latentcast {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) {
    return;
  }
  char text[MPI_MAX_ERROR_STRING] = "unknown error";
  int length = 0;
  MPI_Error_string(code, &text[0], &length);
  throw PeerFailure(std::string(call) + " failed: " + text +
                    "; see the other ranks' logs, and the network if ranks are on several hosts");
}

}  // namespace latentcast
