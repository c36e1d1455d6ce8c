#include "shared_values.h"

#include <cstring>

#include <ATen/ATen.h>

namespace latentcast {
namespace {

int64_t share_number(int64_t value, Communicator& control) {
  const at::Tensor tensor = at::full({1}, value, at::kLong);
  control.broadcast(tensor, 0);
  return tensor.item<int64_t>();
}

/// Float32 on the CPU, or undefined on all ranks.
at::Tensor share_tensor(const at::Tensor& tensor, Communicator& control) {
  const int64_t dimensions = share_number(tensor.defined() ? tensor.dim() : -1, control);
  if (dimensions < 0) {
    return {};
  }
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < dimensions; ++i) {
    sizes.push_back(share_number(tensor.defined() ? tensor.size(i) : 0, control));
  }
  const at::Tensor shared = control.rank() == 0 ? tensor.contiguous() : at::empty(sizes, at::kFloat);
  control.broadcast(shared, 0);
  return shared;
}

}  // namespace

std::string share_text(const std::string& text, Communicator& control) {
  const int64_t size = share_number(static_cast<int64_t>(text.size()), control);
  const at::Tensor bytes = at::empty({size}, at::kByte);
  if (control.rank() == 0) {
    std::memcpy(bytes.data_ptr(), text.data(), text.size());
  }
  if (size > 0) {
    control.broadcast(bytes, 0);
  }
  return {static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(size)};
}

Conditions share_conditions(Conditions conditions, Communicator& control) {
  if (control.size() == 1) {
    return conditions;
  }
  conditions.text = share_tensor(conditions.text, control);
  conditions.reference_latents = share_tensor(conditions.reference_latents, control);
  conditions.motion_latents = share_tensor(conditions.motion_latents, control);
  conditions.audio = share_tensor(conditions.audio, control);
  conditions.speaker_mask = share_tensor(conditions.speaker_mask, control);
  conditions.clips = share_number(conditions.clips, control);
  return conditions;
}

}  // namespace latentcast
