#pragma once

#include <optional>

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

namespace latentcast {

/// A tensor on its way from the device that is making it to the host, behind what the device is told next. On
/// a CPU it is there at once.
class FramesToHost {
 public:
  /// From a GPU through pinned memory, on the current stream.
  explicit FramesToHost(const at::Tensor& tensor);
  /// The copy, when it is done.
  at::Tensor wait() const;

 private:
  at::Tensor host_;
  std::optional<c10::Event> done_;
};

}  // namespace latentcast
