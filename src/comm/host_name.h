#pragma once

#include <string>

namespace latentcast {

/// This host's name, as messages give it.
std::string host_name();

}  // namespace latentcast
