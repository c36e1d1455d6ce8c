#include "weights/state_dict_pickle.h"

#include <algorithm>

#include "weights/tensor_layout.h"
#include "weights/unpickler.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr size_t kMaxPickle = size_t{16} << 20;

std::string_view key_text(PickleNode* key, const std::string& file) {
  const auto* text = key->as<std::string_view>();
  if (text == nullptr) throw InputError("'" + file + "' isn't a state dict: it has a key that isn't a name.");
  return *text;
}

/// Training scripts wrap a state dict as {'state_dict': ..., 'epoch': 3}. Beside it only plain values may
/// lie: other tensors would be left out without a word.
PickleDict* unwrapped(PickleDict* root, const std::string& file) {
  PickleDict* inner = nullptr;
  bool others = false;
  for (const auto& [key, value] : root->items) {
    auto* const dict = value->as<PickleDict>();
    if (dict != nullptr && key_text(key, file) == "state_dict") {
      inner = dict;
    } else {
      others |= dict != nullptr || value->as<PickledTensor>() != nullptr;
    }
  }
  return inner != nullptr && !others ? inner : root;
}

}  // namespace

std::vector<PickledTensor> read_state_dict_pickle(std::span<const std::byte> pickle,
                                                  const std::string& file) {
  if (pickle.size() > kMaxPickle)
    throw InputError("'" + file + "' holds a pickle too large for a state dict.");
  Unpickler unpickler(pickle, file);
  auto* const root = unpickler.run()->as<PickleDict>();
  if (root == nullptr) {
    throw InputError("'" + file + "' isn't a state dict. Save model.state_dict() with torch.save.");
  }
  std::vector<PickledTensor> tensors;
  for (const auto& [key, value] : unwrapped(root, file)->items) {
    const std::string_view name = key_text(key, file);
    const auto* tensor = value->as<PickledTensor>();
    if (tensor == nullptr) {
      throw InputError("'" + file + "' isn't a state dict: " + quote_name(name) +
                       " isn't a tensor. Save model.state_dict() with torch.save.");
    }
    tensors.push_back(*tensor);
    tensors.back().name = name;
  }
  return tensors;
}

}  // namespace latentcast
