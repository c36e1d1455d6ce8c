#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "weights/state_dict_pickle.h"

#include "latentcast/weights/tensor_view.h"

namespace latentcast {

struct PickleNode;

enum class PickleFunction { kOrderedDict, kRebuildTensor, kRebuildParameter };

struct PickleNone {};
struct PickleTuple {
  std::vector<PickleNode*> items;
};
struct PickleList {
  std::vector<PickleNode*> items;
};
struct PickleDict {
  std::vector<std::pair<PickleNode*, PickleNode*>> items;
};
struct PickleStorage {
  DType dtype;
  std::string_view key;
  int64_t numel;
};

/// A value of the few kinds that a state dict is made of. A DType is a storage class. Nodes refer to each
/// other (also in circles) by plain pointers; the unpickler owns them all.
struct PickleNode {
  std::variant<PickleNone, bool, int64_t, std::string_view, PickleTuple, PickleList, PickleDict,
               PickleFunction, DType, PickleStorage, PickledTensor>
      value;

  template <typename T>
  T* as() {
    return std::get_if<T>(&value);
  }
};

}  // namespace latentcast
