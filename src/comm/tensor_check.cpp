#include "tensor_check.h"

#include <string>

#include "latentcast/error.h"

namespace latentcast {
namespace {

[[noreturn]] void refuse(const char* operation, const std::string& why) {
  throw InternalError(std::string(operation) + " between ranks: " + why);
}

}  // namespace

void check_tensor(const at::Tensor& tensor, at::DeviceType device, const char* operation) {
  if (!tensor.defined() || !tensor.is_contiguous() || tensor.device().type() != device) {
    refuse(operation, "the tensor must be contiguous and on the communicator's kind of device");
  }
}

void check_all_gather(const at::Tensor& part, const at::Tensor& all, int size) {
  if (part.scalar_type() != all.scalar_type() || all.numel() != part.numel() * size) {
    refuse("all-gather", "a part of " + std::to_string(part.numel()) + " values from each of " +
                             std::to_string(size) + " ranks doesn't make " + std::to_string(all.numel()) +
                             " values of the same type");
  }
}

void check_peer(int peer, int own_rank, int size, const char* operation) {
  if (peer < 0 || peer >= size || peer == own_rank) {
    refuse(operation, "rank " + std::to_string(own_rank) + " of " + std::to_string(size) +
                          " has no peer of number " + std::to_string(peer));
  }
}

void check_root(int root, int size) {
  if (root < 0 || root >= size) {
    refuse("broadcast", "there is no rank " + std::to_string(root) + " among " + std::to_string(size));
  }
}

}  // namespace latentcast
