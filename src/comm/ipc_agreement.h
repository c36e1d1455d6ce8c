#pragma once

#include <exception>
#include <string>
#include <vector>

#include "peer.h"
#include <c10/util/Exception.h>

#include "latentcast/comm/communicator.h"

namespace latentcast {

bool on_one_host(const std::vector<Peer>& peers);

/// Runs `work`; what failed, if anything.
template <typename Work>
std::string refusal_of(const Work& work) {
  try {
    work();
    return {};
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  } catch (const std::exception& error) {
    return error.what();
  }
}

/// The first line of the lowest rank that has one, the same on all ranks; empty if none has. Collective.
std::string first_refusal(Communicator& cpu, const std::vector<Peer>& peers, const std::string& own);

}  // namespace latentcast
