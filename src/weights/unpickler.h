#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "weights/byte_reader.h"
#include "weights/pickle_node.h"

namespace latentcast {

/// Interpreter of the part of pickle protocol 2 that torch.save uses for a state dict. A stack machine
/// without recursion; owns every value that it makes.
class Unpickler {
 public:
  Unpickler(std::span<const std::byte> pickle, const std::string& file);

  /// The pickled value; lives as long as this object. Throws InputError naming the file.
  PickleNode* run();

 private:
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void damaged() const;

  bool step(uint8_t operation);         // false at the end
  bool step_scalar(uint8_t operation);  // these three: false if the operation is none of theirs
  bool step_container(uint8_t operation);
  bool step_memo(uint8_t operation);

  template <typename T>
  PickleNode* make(T&& value);
  template <typename T>
  T& expect(PickleNode* node) const;
  void push(PickleNode* node);
  PickleNode* pop();
  PickleNode* top() const;
  std::vector<PickleNode*> pop_to_mark();
  void push_tuple(size_t count);
  void set_items(const std::vector<PickleNode*>& items);
  void append_items(const std::vector<PickleNode*>& items);

  void count_items(size_t count);
  int64_t read_long();
  void global();
  void persistent_id();
  void reduce();
  void build();
  PickleNode* rebuild_tensor(const PickleTuple& arguments);
  std::vector<int64_t> integers(PickleNode* node) const;

  std::string file_;
  ByteReader reader_;
  std::deque<PickleNode> nodes_;
  size_t items_ = 0;  // in all lists and dicts
  std::vector<PickleNode*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, PickleNode*> memo_;
};

}  // namespace latentcast
