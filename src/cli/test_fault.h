#pragma once

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// For tests alone: makes a rank fail at a place of its work, as the environment asks.
///
///   LATENTCAST_TEST_FAULT="rank=2,do=stop,mark=FILE,at=block 3,"
///
/// `at`, the last, is looked for in what the rank's threads say they do (see Activity), such as "block 12,",
/// "layer 1", "decoding block 2", "closing". At the first such place: `do=throw` an InternalError, `kill` and
/// `stop` the process by signal, `squeeze` leaves it no more of its GPU's memory, `hang` the thread for ever.
/// At every such place: `slow` sleeps a second, `hold` five unless FILE.go is there, `hold-kill` likewise and
/// then kills. FILE is made, or written to again, right before.
void set_test_fault(const MpiSession& mpi);

}  // namespace latentcast
