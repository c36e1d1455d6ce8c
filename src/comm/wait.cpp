#include "wait.h"

#include <future>
#include <utility>

#include "peer.h"

#include "latentcast/error.h"

namespace latentcast {

void run_with_deadline(std::function<void()> work, std::chrono::nanoseconds deadline,
                       const std::string& what) {
  std::packaged_task<void()> task(std::move(work));
  std::future<void> result = task.get_future();
  std::thread(std::move(task)).detach();
  if (result.wait_until(std::chrono::steady_clock::now() + deadline) != std::future_status::ready) {
    throw InternalError(what + " did not end within " +
                        seconds_text(std::chrono::duration<double>(deadline).count()));
  }
  result.get();
}

}  // namespace latentcast
