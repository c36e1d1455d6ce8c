#include "latentcast/pipeline/trace.h"

#include <cstring>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/weights/safetensors.h"
#include "latentcast/weights/safetensors_writer.h"

namespace latentcast {
namespace {

at::Tensor for_file(const at::Tensor& tensor) {
  const at::Tensor wide = tensor.scalar_type() == at::kBFloat16 ? tensor.to(at::kFloat) : tensor;
  return wide.to(at::kCPU).contiguous();
}

DType file_type(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return DType::kF32;
    case at::kLong:
      return DType::kI64;
    case at::kByte:
      return DType::kU8;
    default:
      throw InternalError("trace: tensors of this type are not written");
  }
}

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.data_ptr()), static_cast<size_t>(tensor.nbytes())};
}

}  // namespace

struct Trace::Impl {
  SafetensorsWriter writer;
  std::optional<int> blocks;
};

Trace::Trace() = default;
Trace::Trace(const std::filesystem::path& path, std::optional<int> blocks)
    : impl_(new Impl{SafetensorsWriter(path), blocks}) {}
Trace::~Trace() = default;
Trace::Trace(Trace&&) noexcept = default;
Trace& Trace::operator=(Trace&&) noexcept = default;

bool Trace::keeps_block(int64_t block) const { return impl_ && (!impl_->blocks || block < *impl_->blocks); }

void Trace::add(const std::string& name, const at::Tensor& tensor) {
  if (impl_) {
    const at::Tensor t = for_file(tensor);
    impl_->writer.add(name, file_type(t), t.sizes().vec(), bytes_of(t));
  }
}

void Trace::append(const std::string& name, const at::Tensor& rows) {
  if (impl_ && rows.size(0) > 0) {
    const at::Tensor t = for_file(rows);
    impl_->writer.append(name, file_type(t), t.sizes().slice(1).vec(), bytes_of(t));
  }
}

std::string step_name(size_t timestep, int64_t block) {
  // The public pipeline has one rank a timestep, and the cases' names come from there.
  return "rank" + std::to_string(timestep) + ".step" + std::to_string(block) + ".";
}

TraceInputs::TraceInputs(const std::filesystem::path& path)
    : archive_(std::make_shared<const TensorArchive>(open_safetensors(path.string()))) {}

at::Tensor TraceInputs::latents_in(size_t timestep, int64_t block) const {
  const TensorView* view = archive_ ? archive_->find(step_name(timestep, block) + "latents_in") : nullptr;
  if (view == nullptr || view->dtype != DType::kF32) {
    return {};
  }
  at::Tensor latents = at::empty(view->shape, at::kFloat);
  std::memcpy(latents.data_ptr(), view->bytes.data(), view->bytes.size());
  return latents;
}

void Trace::close() {
  if (impl_) {
    impl_->writer.close();
  }
}

}  // namespace latentcast
