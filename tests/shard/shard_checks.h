#pragma once

#include <memory>
#include <string>

#include "latentcast/comm/communicator.h"

// The same checks run on threads and on MPI's ranks. Each is called on every rank of a group, with a folder
// that all see and in which write_layers() has written small_layers(). `way`: how layers are gathered.

namespace latentcast::test {

/// Every tensor of every layer is ResidentLayers' to the bit, in both types, with and without LoRA, over two
/// passes.
void check_equal_bits(Communicator& world, const std::string& folder, GatherWay way);
/// The same for weights in 8 bits, which are held so.
void check_equal_bits_in_fp8(Communicator& world, const std::string& folder, GatherWay way);
/// Ranks that compute and ranks that don't take part in the same gathers, in any mixture of passes.
void check_passes_without_compute(Communicator& world, const std::string& folder, GatherWay way);
/// Two buffers are used in turn, whatever layer is in them, and the counters say so.
void check_two_buffers(Communicator& world, const std::string& folder, GatherWay way);
/// Another order than that of the layers is refused, and does no harm.
void check_order(Communicator& world, const std::string& folder, GatherWay way);
/// Ranks together hold every layer once.
void check_shares(Communicator& world, const std::string& folder, GatherWay way);

}  // namespace latentcast::test
