#pragma once

#include <cstdint>

namespace latentcast {

/// This process's resident memory in bytes: now, and the most since its start. 0 if the system doesn't say.
int64_t resident_bytes();
int64_t peak_resident_bytes();

/// Gives memory back to the system that was freed but kept, as much as 150 MB after encoding and loading. Not
/// for every block: it walks through all that is free.
void release_freed_memory();

}  // namespace latentcast
