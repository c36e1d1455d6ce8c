#include <optional>

#include "host_name.h"
#include "peer.h"
#include <ATen/ATen.h>

#include "latentcast/comm/activity.h"
#include "latentcast/comm/coordinate.h"
#include "latentcast/comm/failure.h"

namespace latentcast {
namespace {

constexpr int64_t kNoError = -1;

/// What the user is told. Rank 0's word on inputs needs no rank: they are the same for all.
std::string told(const Failure& failure, Communicator& cpu) {
  if (cpu.rank() == 0 && failure.code != ExitCode::kInternal) {
    return failure.message;
  }
  const bool inside = failure.code == ExitCode::kInternal && cpu.activity() != nullptr;
  return own_failure({cpu.rank(), host_name()}, inside ? cpu.activity()->look() : Doing{}, failure.message);
}

}  // namespace

void agree_on_error(Communicator& cpu, const std::exception_ptr& own) {
  const std::optional<Failure> failure = own ? std::optional(describe_failure(own)) : std::nullopt;
  const std::string message = failure ? told(*failure, cpu) : std::string();
  at::Tensor codes = at::empty({cpu.size()}, at::kLong);
  cpu.all_gather(at::full({1}, failure ? static_cast<int64_t>(failure->code) : kNoError, at::kLong), codes);
  const at::Tensor failed = codes.ne(kNoError).nonzero();
  if (failed.numel() == 0) {
    return;
  }
  if (cpu.size() == 1) {
    std::rethrow_exception(own);
  }
  const auto first = failed[0][0].item<int64_t>();
  throw AgreedError(static_cast<ExitCode>(codes[first].item<int64_t>()),
                    gather_strings(cpu, message)[static_cast<size_t>(first)]);
}

}  // namespace latentcast
