#pragma once

#include <stdexcept>
#include <string>

namespace latentcast {

/// What went wrong decides the process's exit code, and that tells a job script what to do next.
enum class ExitCode : int {
  kDone = 0,
  kInput = 64,     ///< usage or bad input: do not retry
  kInternal = 70,  ///< anything else
  kOutput = 74,    ///< output can't be written: free space, run again
  kStopped = 75,   ///< stopped early, run again to continue
};

/// Base of every exception that latentcast throws. Messages say what, where, and what to do.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Options, inputs or files of the user's that can't be used as they are.
class InputError : public Error {
 public:
  explicit InputError(const std::string& message) : Error(ExitCode::kInput, message) {}
};

/// A place that can't be written to: missing rights, full disk.
class OutputError : public Error {
 public:
  explicit OutputError(const std::string& message) : Error(ExitCode::kOutput, message) {}
};

/// A broken promise inside the program, a failing device or library.
class InternalError : public Error {
 public:
  explicit InternalError(const std::string& message) : Error(ExitCode::kInternal, message) {}
};

/// What a rank sees of another's failure: an answer that doesn't come, a link that breaks.
class PeerFailure : public InternalError {
 public:
  using InternalError::InternalError;
};

/// An error that all ranks have heard of (see coordinate()): all leave with its code, and one says it. Every
/// other error of one rank among several is its own, and ends the others (MpiSession::fail()).
class AgreedError : public Error {
 public:
  using Error::Error;
};

}  // namespace latentcast
