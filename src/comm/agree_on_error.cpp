#include "host_name.h"
#include "peer.h"
#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include "latentcast/comm/coordinate.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr int64_t kNoError = -1;

struct Failure {
  int64_t code = kNoError;
  std::string message;
};

Failure describe(const std::exception_ptr& error) {
  if (!error) {
    return {};
  }
  const auto internal = static_cast<int64_t>(ExitCode::kInternal);
  try {
    std::rethrow_exception(error);
  } catch (const Error& own) {
    return {static_cast<int64_t>(own.code()), own.what()};
  } catch (const c10::Error& torch) {
    return {internal, torch.what_without_backtrace()};
  } catch (const std::bad_alloc&) {
    return {internal, "out of memory"};
  } catch (const std::exception& other) {
    return {internal, other.what()};
  } catch (...) {
    return {internal, "unknown exception"};
  }
}

}  // namespace

void agree_on_error(Communicator& cpu, const std::exception_ptr& own) {
  const Failure failure = describe(own);
  at::Tensor codes = at::empty({cpu.size()}, at::kLong);
  cpu.all_gather(at::full({1}, failure.code, at::kLong), codes);
  const at::Tensor failed = codes.ne(kNoError).nonzero();
  if (failed.numel() == 0) {
    return;
  }
  const std::string named = name_of(Peer{cpu.rank(), host_name()}) + ": " + failure.message;
  const std::vector<std::string> messages = gather_strings(cpu, own ? named : std::string());
  if (own) {
    std::rethrow_exception(own);
  }
  const auto first = failed[0][0].item<int64_t>();
  throw Error(static_cast<ExitCode>(codes[first].item<int64_t>()), messages[static_cast<size_t>(first)]);
}

}  // namespace latentcast
