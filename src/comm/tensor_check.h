#pragma once

#include <ATen/core/Tensor.h>

namespace latentcast {

/// What every communicator asks of its callers; a breach is an InternalError.
void check_tensor(const at::Tensor& tensor, at::DeviceType device, const char* operation);
void check_all_gather(const at::Tensor& part, const at::Tensor& all, int size);
void check_peer(int peer, int own_rank, int size, const char* operation);
void check_root(int root, int size);

}  // namespace latentcast
