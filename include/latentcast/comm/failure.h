#pragma once

#include <exception>
#include <string>

#include "latentcast/error.h"

namespace latentcast {

/// An exception of any kind, ours, LibTorch's or the standard library's, as users see it.
struct Failure {
  ExitCode code = ExitCode::kInternal;
  std::string message;
  /// It came up because another rank failed or left, which that rank says better.
  bool of_peer = false;
};

/// `error` isn't null.
Failure describe_failure(const std::exception_ptr& error);

}  // namespace latentcast
