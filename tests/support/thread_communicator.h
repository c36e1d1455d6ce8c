#pragma once

#include <functional>
#include <memory>

#include "latentcast/comm/communicator.h"

namespace latentcast::test {

/// Runs `body` on `size` threads at once, each with a communicator of a group of them all: ranks without
/// processes, for CPU tensors. Transfers are copies, made when they are finished; a receive's or gather's
/// target is filled with rubbish at its launch, so that whoever reads it too early is found out. Shares that
/// are published are read directly, unless by all-gathers is asked for. Throws what the first failing rank
/// threw; then, and after a minute's wait, the others give up too.
void run_ranks(int size, const std::function<void(std::unique_ptr<Communicator>)>& body);

}  // namespace latentcast::test
