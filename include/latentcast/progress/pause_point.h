#pragma once

namespace latentcast {

/// For tests that kill a run at a certain moment. Does nothing unless LATENTCAST_PAUSE_LOG names a file: then
/// appends `name` and the process's number to it, and if LATENTCAST_PAUSE_AT is "name" or "name:N" and this
/// is the N-th such line (the first without N), appends "paused" and sleeps until it is killed or the file named
/// as the log with ".go" behind it is there.
void pause_point(const char* name);

}  // namespace latentcast
