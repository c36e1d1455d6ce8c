#pragma once

#include <memory>

#include "nccl_group.h"
#include "nccl_library.h"

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// A communicator of GPUs, of the ranks of start.cpu. Where copy engines move what goes between two ranks,
/// NCCL connects them at the first operation that needs it, if there is any: its buffers take much of a GPU's
/// memory. A group of one rank needs no NCCL. Collective.
std::unique_ptr<Communicator> start_gpu_group(NcclStart start);

/// Connects all ranks by NCCL. Collective; throws InternalError if they aren't within `start`'s deadline.
std::shared_ptr<NcclGroup> connect_nccl(const NcclStart& start);

/// start_gpu_group() once it is known that each rank has a GPU of its own.
std::unique_ptr<Communicator> make_gpu_communicator(NcclStart start);

}  // namespace latentcast
