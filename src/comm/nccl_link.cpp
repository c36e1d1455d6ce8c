#include "nccl_link.h"

#include <utility>

#include "latentcast/error.h"

namespace latentcast {

void check_nccl(ncclResult_t code, const char* call, ncclComm_t comm) {
  if (code == ncclSuccess) {
    return;
  }
  const char* detail = ncclGetLastError(comm);
  throw PeerFailure(
      std::string(call) + " failed: " + ncclGetErrorString(code) +
      (detail != nullptr && *detail != '\0' ? std::string(" (") + detail + ")" : std::string()) +
      "; see the other ranks' logs; NCCL_DEBUG=INFO tells more");
}

NcclLink::NcclLink(const ncclUniqueId& id, int size, int rank, int most_blocks) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 1;
  if (most_blocks > 0) {
    config.maxCTAs = most_blocks;
  }
  ncclComm_t comm = nullptr;
  check_nccl(ncclCommInitRankConfig(&comm, size, id, rank, &config), "ncclCommInitRankConfig");
  comm_ = comm;
}

NcclLink::~NcclLink() = default;

void NcclLink::check() const {
  ncclResult_t state = ncclSuccess;
  check_nccl(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError", comm_);
  check_nccl(state, "NCCL", comm_);
}

void NcclLink::close() noexcept {
  if (const ncclComm_t comm = comm_.exchange(nullptr); comm != nullptr) {
    ncclCommDestroy(comm);
  }
}

void NcclLink::abort() noexcept {
  if (const ncclComm_t comm = comm_.exchange(nullptr); comm != nullptr) {
    ncclCommAbort(comm);
  }
}

}  // namespace latentcast
