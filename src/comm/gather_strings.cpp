#include <algorithm>

#include <ATen/ATen.h>

#include "latentcast/comm/communicator.h"

namespace latentcast {

std::vector<std::string> gather_strings(Communicator& cpu, const std::string& own) {
  const int64_t size = cpu.size();
  at::Tensor lengths = at::empty({size}, at::kLong);
  cpu.all_gather(at::full({1}, static_cast<int64_t>(own.size()), at::kLong), lengths);
  // All-gathers move equal parts: as long as the longest.
  const int64_t longest = lengths.max().item<int64_t>();
  at::Tensor part = at::zeros({longest}, at::kByte), all = at::empty({size * longest}, at::kByte);
  std::copy(own.begin(), own.end(), part.data_ptr<uint8_t>());
  cpu.all_gather(part, all);

  std::vector<std::string> strings;
  for (int64_t i = 0; i < size; ++i) {
    const uint8_t* begin = all.data_ptr<uint8_t>() + i * longest;
    strings.emplace_back(begin, begin + lengths[i].item<int64_t>());
  }
  return strings;
}

}  // namespace latentcast
