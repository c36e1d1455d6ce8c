#include "latentcast/weights/checkpoint_source.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "weights/tensor_bytes.h"
#include "weights/tensor_layout.h"
#include "weights/upload.h"
#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr std::string_view kWeight = ".weight";
/// Of a LoRA's change, computed before they are added: few, for they are in float32 beside the weights.
constexpr int64_t kBlocksAtOnce = 8;

bool allowed(std::string_view name, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](std::string_view pattern) {
    if (!pattern.ends_with('*')) return name == pattern;
    return name.starts_with(pattern.substr(0, pattern.size() - 1));
  });
}

/// The first few, and how many more.
std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += (i == 0 ? "" : ", ") + quote_name(names[i]);
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

}  // namespace

CheckpointSource::CheckpointSource(std::shared_ptr<const TensorArchive> archive, at::ScalarType dtype,
                                   at::Device device, std::string prefix)
    : archive_(std::move(archive)),
      dtype_(dtype),
      device_(device),
      prefix_(std::move(prefix)),
      upload_(std::make_shared<Upload>(device)) {}

bool CheckpointSource::has(const std::string& name) const {
  return archive_->find(prefix_ + name) != nullptr;
}

std::vector<int64_t> CheckpointSource::shape(const std::string& name) const {
  return view(prefix_ + name).shape;
}

at::Tensor CheckpointSource::take(const std::string& name, at::IntArrayRef shape) {
  return take_as(name, shape, dtype_);
}

std::vector<at::Tensor> CheckpointSource::take_together(const std::vector<std::string>& names,
                                                        at::IntArrayRef shape) {
  if (!device_.is_cuda()) return TensorSource::take_together(names, shape);
  std::vector<int64_t> all = shape.vec();
  all.insert(all.begin(), static_cast<int64_t>(names.size()));
  std::vector<at::Tensor> parts = at::empty(all, at::TensorOptions().dtype(dtype_).device(device_)).unbind(0);
  for (size_t i = 0; i < names.size(); ++i) parts[i].copy_(take(names[i], shape));
  return parts;
}

at::Tensor CheckpointSource::take_float(const std::string& name, at::IntArrayRef shape) {
  return take_as(name, shape, at::kFloat);
}

void CheckpointSource::set_lora(std::shared_ptr<const LoraAdapter> lora) { lora_ = std::move(lora); }

const TensorView& CheckpointSource::view(const std::string& full_name) const {
  const TensorView* const found = archive_->find(full_name);
  if (found == nullptr) {
    throw InputError("tensor " + quote_name(full_name) + " is missing in '" + archive_->file() +
                     "'. Check that this is the file of the right model, or download it again.");
  }
  return *found;
}

/// So many of its elements are read.
const TensorView& CheckpointSource::use(const std::string& full_name, at::IntArrayRef shape,
                                        int64_t elements) {
  const TensorView& found = view(full_name);
  if (observer_) observer_(full_name, elements * static_cast<int64_t>(dtype_size(found.dtype)));
  if (shape != at::IntArrayRef(found.shape)) {
    throw InputError("tensor " + quote_name(full_name) + " in '" + found.file + "' has shape " +
                     shape_text(found.shape) + ", the model needs " + shape_text(shape) +
                     ". Check that config and weights belong together.");
  }
  used_.insert(full_name);
  if (const auto target = lora_target(full_name)) lora_used_.insert(*target);
  return found;
}

std::optional<std::string> CheckpointSource::lora_target(const std::string& full_name) const {
  if (lora_ == nullptr || !full_name.ends_with(kWeight)) return std::nullopt;
  std::string target = full_name.substr(0, full_name.size() - kWeight.size());
  return lora_->has(target) ? std::optional(std::move(target)) : std::nullopt;
}

at::Tensor CheckpointSource::take_as(const std::string& name, at::IntArrayRef shape, at::ScalarType dtype) {
  const std::string full_name = prefix_ + name;
  const TensorView& found = use(full_name, shape, c10::multiply_integers(shape));
  const auto target = lora_target(full_name);
  if (!target) return load_tensor(found, full_name, dtype, device_, archive_, *upload_);
  at::Tensor changed = lora_->delta(*target, shape, device_);
  changed.add_(load_tensor(found, full_name, at::kFloat, device_, archive_, *upload_));
  archive_->release(found.bytes);
  return changed.to(dtype);
}

void CheckpointSource::copy_range(const std::string& name, at::IntArrayRef shape, int64_t first,
                                  const at::Tensor& to) {
  const std::string full_name = prefix_ + name;
  const TensorView& found = use(full_name, shape, to.numel());
  const int64_t last = first + to.numel();
  if (first < 0 || last > c10::multiply_integers(shape)) {
    throw InternalError("a range beyond the end of tensor " + quote_name(full_name) + " was asked for");
  }
  const auto target = lora_target(full_name);
  if (!target) return copy_elements(found, full_name, first, to, *archive_, *upload_);
  const int64_t block_size = LoraAdapter::kBlockRows * c10::size_from_dim_(1, shape);
  for (int64_t begin = first, end = 0; begin < last; begin = end) {
    const int64_t block = begin / block_size, blocks_begin = block * block_size;
    end = std::min(last, blocks_begin + kBlocksAtOnce * block_size);
    const int64_t blocks_end = (end + block_size - 1) / block_size;
    const at::Tensor changed = lora_->delta_rows(*target, shape, block, blocks_end, device_)
                                   .flatten()
                                   .narrow(0, begin - blocks_begin, end - begin);
    const at::Tensor base = at::empty({end - begin}, changed.options());
    copy_elements(found, full_name, begin, base, *archive_, *upload_);
    to.narrow(0, begin - first, end - begin).copy_(changed.add_(base));
  }
}

void CheckpointSource::finish(const std::vector<std::string>& unused_allowed) const {
  std::vector<std::string> unused;
  for (const std::string& name : archive_->names()) {
    if (!used_.contains(name) && !allowed(name, unused_allowed)) unused.push_back(name);
  }
  if (!unused.empty()) {
    throw InputError("'" + archive_->file() + "' has tensors that the model doesn't know: " + listed(unused) +
                     ". Check that config and weights belong together.");
  }
  if (lora_ == nullptr) return;
  for (const std::string& target : lora_->targets()) {
    if (!lora_used_.contains(target)) unused.push_back(target);
  }
  if (!unused.empty()) {
    throw InputError("the LoRA '" + lora_->file() + "' changes weights that the model doesn't have: " +
                     listed(unused) + ". It belongs to another model.");
  }
}

}  // namespace latentcast
