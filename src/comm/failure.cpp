#include "latentcast/comm/failure.h"

#include <new>

#include <c10/util/Exception.h>

namespace latentcast {

Failure describe_failure(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const PeerFailure& own) {
    return {own.code(), own.what(), true};
  } catch (const Error& own) {
    return {own.code(), own.what()};
  } catch (const c10::Error& torch) {
    return {ExitCode::kInternal, torch.what_without_backtrace()};
  } catch (const std::bad_alloc&) {
    return {ExitCode::kInternal, "out of memory; use a smaller --size, or a machine with more memory"};
  } catch (const std::exception& other) {
    return {ExitCode::kInternal, other.what()};
  } catch (...) {
    return {ExitCode::kInternal, "unknown exception"};
  }
}

}  // namespace latentcast
