#include "latentcast/model/dit/gpu_sizes.h"

#include <string>

#include "latentcast/error.h"

namespace latentcast {

void check_gpu_sizes(const DitConfig& config) {
  // What the headers in latentcast/kernels say of rows on a GPU.
  constexpr int64_t kMultiple = 8, kLongest = 14336;
  const auto check = [](const char* name, int64_t size) {
    if (size % kMultiple != 0 || size > kLongest) {
      throw InputError("the transformer's " + std::string(name) + " is " + std::to_string(size) +
                       ", a GPU's kernels take multiples of " + std::to_string(kMultiple) + " up to " +
                       std::to_string(kLongest) + "; give --device cpu");
    }
  };
  check("dim", config.dim);
  check("ffn_dim", config.ffn_dim);
  if (config.head_dim() % 2 != 0) {
    throw InputError("the transformer's heads are " + std::to_string(config.head_dim()) +
                     " wide, a GPU's kernels take an even width; give --device cpu");
  }
}

}  // namespace latentcast
