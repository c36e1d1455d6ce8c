#pragma once

#include <cstdint>

namespace latentcast {

/// This process's resident memory in bytes: now, and the most since its start. 0 if the system doesn't say.
int64_t resident_bytes();
int64_t peak_resident_bytes();

}  // namespace latentcast
