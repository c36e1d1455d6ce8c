#include "latentcast/weights/tensor_view.h"

#include <cstring>
#include <utility>

#include "weights/tensor_layout.h"

#include "latentcast/error.h"
#include "latentcast/weights/mapped_file.h"

namespace latentcast {

size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
    case DType::kI16:
      return 2;
    case DType::kF8E4M3:
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return 1;
  }
  throw InternalError("unknown element type of a tensor");
}

const TensorView* TensorArchive::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

std::vector<std::string> TensorArchive::names() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& [name, view] : tensors_) names.push_back(name);
  return names;
}

void TensorArchive::add(std::string name, TensorView view) {
  const auto [it, added] = tensors_.try_emplace(std::move(name), std::move(view));
  if (!added) {
    throw InputError("'" + file_ + "' has two tensors named " + quote_name(it->first) +
                     ", so it isn't clear which one is meant. Download or write the file again.");
  }
}

void TensorArchive::own_mapping(std::shared_ptr<const MappedFile> file) {
  mappings_.push_back(std::move(file));
}

void TensorArchive::release(std::span<const std::byte> bytes) const {
  // Memory that only own() knows may be a copy, whose content the system would forget.
  for (const auto& file : mappings_) {
    if (file->holds(bytes)) file->release(bytes);
  }
}

void TensorArchive::read(std::span<const std::byte> bytes, std::byte* to) const {
  for (const auto& file : mappings_) {
    if (file->holds(bytes)) return file->read(bytes, to);
  }
  std::memcpy(to, bytes.data(), bytes.size());
}

void TensorArchive::absorb(TensorArchive&& other) {
  for (auto& [name, view] : other.tensors_) add(name, std::move(view));
  for (auto& memory : other.owned_) own(std::move(memory));
  for (auto& file : other.mappings_) own_mapping(std::move(file));
  other.tensors_.clear();
  other.owned_.clear();
  other.mappings_.clear();
}

}  // namespace latentcast
