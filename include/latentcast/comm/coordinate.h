#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// Tells all ranks of the group whether any had an error. If none had, returns. Else all throw an AgreedError
/// with the first such rank's exit code and message, which names the rank (unless it is rank 0 with an error
/// of the user's, which any rank would have); a group of one rethrows its own. Collective; a communicator for
/// CPU tensors.
void agree_on_error(Communicator& cpu, const std::exception_ptr& own);

/// Runs the callable on every rank, then agree_on_error(). The callable must not talk to other ranks: those
/// would wait in vain for one that threw.
template <typename Callable>
auto coordinate(Communicator& cpu, Callable&& callable) -> std::invoke_result_t<Callable> {
  using Result = std::invoke_result_t<Callable>;
  std::exception_ptr error;
  if constexpr (std::is_void_v<Result>) {
    try {
      std::invoke(std::forward<Callable>(callable));
    } catch (...) {
      error = std::current_exception();
    }
    agree_on_error(cpu, error);
  } else {
    std::optional<Result> result;
    try {
      result.emplace(std::invoke(std::forward<Callable>(callable)));
    } catch (...) {
      error = std::current_exception();
    }
    agree_on_error(cpu, error);
    return std::move(*result);
  }
}

}  // namespace latentcast
