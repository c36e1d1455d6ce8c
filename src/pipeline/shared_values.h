#pragma once

#include <string>

#include "latentcast/comm/communicator.h"
#include "latentcast/pipeline/conditions.h"

namespace latentcast {

/// Afterwards every rank has rank 0's text.
std::string share_text(const std::string& text, Communicator& control);

/// Afterwards every rank has rank 0's conditions.
Conditions share_conditions(Conditions conditions, Communicator& control);

}  // namespace latentcast
