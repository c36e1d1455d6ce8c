#include "latentcast/weights/lora.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "weights/tensor_bytes.h"
#include "weights/tensor_layout.h"
#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";

std::string_view without_prefix(std::string_view name) {
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

/// The target if `name` ends with one of the endings.
template <size_t N>
std::optional<std::string> strip(std::string_view name, const std::array<std::string_view, N>& endings) {
  for (const std::string_view ending : endings) {
    if (name.size() > ending.size() && name.ends_with(ending)) {
      return std::string(name.substr(0, name.size() - ending.size()));
    }
  }
  return std::nullopt;
}

constexpr std::array<std::string_view, 2> kEndingsA = {".lora_A.default.weight", ".lora_A.weight"};
constexpr std::array<std::string_view, 2> kEndingsB = {".lora_B.default.weight", ".lora_B.weight"};
constexpr std::array<std::string_view, 2> kEndingsAlpha = {".lora_alpha", ".alpha"};

double scalar(const TensorView& view, const std::string& name,
              const std::shared_ptr<const TensorArchive>& owner) {
  if (element_count(view.shape) != 1) {
    throw InputError("tensor " + quote_name(name) + " in '" + view.file + "' should be a single number.");
  }
  if (view.dtype == DType::kI64 || view.dtype == DType::kI32) {
    const auto type = view.dtype == DType::kI64 ? at::kLong : at::kInt;
    at::Tensor value = at::empty({}, at::TensorOptions().dtype(type));
    std::copy(view.bytes.begin(), view.bytes.end(), static_cast<std::byte*>(value.data_ptr()));
    return value.item<double>();
  }
  Upload unused(at::kCPU);
  return load_tensor(view, name, at::kFloat, at::kCPU, owner, unused).item<double>();
}

}  // namespace

LoraAdapter::LoraAdapter(std::shared_ptr<const TensorArchive> archive, std::optional<double> alpha)
    : archive_(std::move(archive)) {
  collect(alpha);
  for (const auto& [target, pair] : pairs_) check(target, pair);
  if (pairs_.empty())
    throw InputError("'" + file() + "' has no LoRA pair (NAME.lora_A.weight, NAME.lora_B.weight).");
}

const std::string& LoraAdapter::file() const { return archive_->file(); }

void LoraAdapter::collect(std::optional<double> given) {
  std::optional<double> common;
  for (const std::string& name : archive_->names()) {
    const TensorView* const view = archive_->find(name);
    const std::string_view bare = without_prefix(name);
    const auto put = [&](const TensorView*& place) {
      if (place != nullptr)
        throw InputError("'" + file() + "' has " + quote_name(bare) + " under two names.");
      place = view;
    };
    if (const auto a = strip(bare, kEndingsA)) {
      put(pairs_[*a].a);
    } else if (const auto b = strip(bare, kEndingsB)) {
      put(pairs_[*b].b);
    } else if (const auto of = strip(bare, kEndingsAlpha)) {
      pairs_[*of].alpha = scalar(*view, name, archive_);
    } else if (bare == "lora_alpha" || bare == "alpha") {
      common = scalar(*view, name, archive_);
    } else {
      throw InputError("'" + file() + "' has the tensor " + quote_name(name) +
                       ", which isn't part of a LoRA.");
    }
  }
  for (auto& [target, pair] : pairs_) {
    if (given) {
      pair.alpha = given;
    } else if (!pair.alpha) {
      pair.alpha = common;
    }
  }
}

void LoraAdapter::check(const std::string& target, const Pair& pair) const {
  const std::string which = quote_name(target) + " in '" + file() + "'";
  if (pair.a == nullptr || pair.b == nullptr) {
    throw InputError(std::string("the LoRA of ") + which + " has no lora_" + (pair.a == nullptr ? "A" : "B") +
                     ". Download the file again.");
  }
  const auto& a = pair.a->shape;
  const auto& b = pair.b->shape;
  if (a.size() != 2 || b.size() != 2 || a[0] != b[1] || a[0] == 0) {
    throw InputError("the LoRA of " + which + " has shapes that don't fit: A " + shape_text(a) + ", B " +
                     shape_text(b) + "; [rank, in] and [out, rank] are needed.");
  }
  weight_type(*pair.a, target + ".lora_A");
  weight_type(*pair.b, target + ".lora_B");
  if (pair.alpha && !std::isfinite(*pair.alpha))
    throw InputError("the alpha of " + which + " isn't a number.");
}

std::vector<std::string> LoraAdapter::targets() const {
  std::vector<std::string> names;
  for (const auto& [target, pair] : pairs_) names.push_back(target);
  return names;
}

bool LoraAdapter::has(std::string_view target) const { return pairs_.contains(target); }

const LoraAdapter::Pair& LoraAdapter::pair_of(const std::string& target, at::IntArrayRef shape) const {
  const auto it = pairs_.find(target);
  if (it == pairs_.end()) throw InternalError("no LoRA of " + quote_name(target) + " in '" + file() + "'");
  const Pair& pair = it->second;
  const std::array<int64_t, 2> own = {pair.b->shape[0], pair.a->shape[1]};
  if (shape != at::IntArrayRef(own)) {
    throw InputError("the LoRA of " + quote_name(target) + " in '" + file() + "' changes a weight of shape " +
                     shape_text(own) + ", the weight has " + shape_text(shape) +
                     ". It belongs to another model.");
  }
  return pair;
}

at::Tensor LoraAdapter::delta(const std::string& target, at::IntArrayRef shape, at::Device device) const {
  const int64_t rows = pair_of(target, shape).b->shape[0];
  return delta_rows(target, shape, 0, (rows + kBlockRows - 1) / kBlockRows, device);
}

at::Tensor LoraAdapter::delta_rows(const std::string& target, at::IntArrayRef shape, int64_t first_block,
                                   int64_t last_block, at::Device device) const {
  const Pair& pair = pair_of(target, shape);
  const int64_t begin = first_block * kBlockRows, end = std::min(last_block * kBlockRows, shape[0]);
  if (begin < 0 || begin > end) throw InternalError("no such rows in the LoRA of " + quote_name(target));
  at::Tensor rows = at::empty({end - begin, shape[1]}, at::TensorOptions().dtype(at::kFloat).device(device));
  if (device.is_meta()) return rows;
  const auto rank = static_cast<double>(pair.a->shape[0]);
  const double scale = pair.alpha.value_or(rank / 2) / rank;
  Upload upload(device);  // its pinned memory comes from LibTorch's cache
  const at::Tensor a = load_tensor(*pair.a, target + ".lora_A", at::kFloat, device, archive_, upload);
  const at::Tensor b = load_tensor(*pair.b, target + ".lora_B", at::kFloat, device, archive_, upload);
  for (int64_t row = begin; row < end; row += kBlockRows) {
    const int64_t count = std::min(kBlockRows, end - row);
    // Not multiplied into its place: the product has the same address modulo alignment wherever the rows go.
    rows.narrow(0, row - begin, count).copy_(at::mm(b.narrow(0, row, count), a).mul_(scale));
  }
  archive_->release(pair.a->bytes);
  archive_->release(pair.b->bytes);
  return rows;
}

}  // namespace latentcast
