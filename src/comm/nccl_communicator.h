#pragma once

#include <memory>

#include "nccl_group.h"
#include "nccl_library.h"

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// A communicator over NCCL of the ranks of start.cpu; a group of one rank needs no NCCL. Collective.
std::unique_ptr<Communicator> start_nccl(NcclStart start);

/// The same once the ranks are connected.
std::unique_ptr<Communicator> make_nccl_communicator(std::shared_ptr<NcclGroup> group, NcclStart start);

}  // namespace latentcast
