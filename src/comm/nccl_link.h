#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "cuda_handles.h"
#include <nccl.h>

namespace latentcast {

/// One communicator of NCCL's with a stream of its own. Operations of different links never wait for one
/// another. All members but abort() belong to the thread that made it, on the device that was current then.
class NcclLink {
 public:
  /// Collective; waits for the others for ever. `most_blocks`: thread blocks that NCCL may take from the
  /// computing; 0: as it thinks best.
  NcclLink(const ncclUniqueId& id, int size, int rank, int most_blocks);
  ~NcclLink();  ///< gives back the stream only; see close() and abort()
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  ncclComm_t comm() const { return comm_; }
  cudaStream_t stream() const { return stream_.get(); }
  bool idle() const { return stream_.idle(); }

  /// Throws InternalError if NCCL has noticed a failure meanwhile.
  void check() const;
  /// Ends the communicator; everything on the stream must be done.
  void close() noexcept;
  /// Ends the communicator and whatever it is doing. From any thread.
  void abort() noexcept;

 private:
  CudaStream stream_;
  std::atomic<ncclComm_t> comm_ = nullptr;  ///< null once it is ended, which any thread may do
};

/// Throws InternalError with NCCL's own text if a call failed.
void check_nccl(ncclResult_t code, const char* call, ncclComm_t comm = nullptr);

}  // namespace latentcast
