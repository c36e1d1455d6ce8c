#include "weights/unpickler.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <utility>

#include "weights/tensor_layout.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

/// Far above any real state dict (one of 1500 tensors makes 40,000 values); bounds a hostile one.
constexpr size_t kMaxNodes = size_t{1} << 20;
constexpr size_t kMaxStack = size_t{1} << 20;
constexpr size_t kMaxItems = size_t{1} << 21;

struct KnownGlobal {
  std::string_view module;
  std::string_view name;
  std::variant<PickleFunction, DType> meaning;
};

constexpr std::array<KnownGlobal, 13> kGlobals = {{
    {"collections", "OrderedDict", PickleFunction::kOrderedDict},
    {"torch._utils", "_rebuild_tensor_v2", PickleFunction::kRebuildTensor},
    {"torch._utils", "_rebuild_parameter", PickleFunction::kRebuildParameter},
    {"torch", "DoubleStorage", DType::kF64},
    {"torch", "FloatStorage", DType::kF32},
    {"torch", "HalfStorage", DType::kF16},
    {"torch", "BFloat16Storage", DType::kBF16},
    {"torch", "LongStorage", DType::kI64},
    {"torch", "IntStorage", DType::kI32},
    {"torch", "ShortStorage", DType::kI16},
    {"torch", "CharStorage", DType::kI8},
    {"torch", "ByteStorage", DType::kU8},
    {"torch", "BoolStorage", DType::kBool},
}};

/// Pickle's operations, by the letters that the format gives them.
enum Operation : uint8_t {
  kMark = '(',
  kStop = '.',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersistentId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kEmptyList = ']',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kEmptyTuple = ')',
  kSetItems = 'u',
  kEmptyDict = '}',
  kProtocol = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
};

}  // namespace

Unpickler::Unpickler(std::span<const std::byte> pickle, const std::string& file)
    : file_(file), reader_(pickle, "the pickle in '" + file + "'") {}

void Unpickler::fail(const std::string& what) const { throw InputError("'" + file_ + "' " + what); }

void Unpickler::damaged() const { fail("holds a damaged pickle. Download or save it again."); }

PickleNode* Unpickler::run() {
  if (reader_.number(1) != kProtocol) damaged();
  const uint64_t protocol = reader_.number(1);
  if (protocol != 2 && protocol != 3) {
    fail("was saved with pickle protocol " + std::to_string(protocol) +
         "; save it again with torch.save's own protocol (2), or as safetensors.");
  }
  while (step(static_cast<uint8_t>(reader_.number(1)))) {
  }
  if (stack_.size() != 1 || !marks_.empty()) damaged();
  return stack_.back();
}

bool Unpickler::step(uint8_t operation) {
  if (operation == kStop) return false;
  if (step_scalar(operation) || step_container(operation) || step_memo(operation)) return true;
  switch (operation) {
    case kGlobal:
      global();
      return true;
    case kBinPersistentId:
      persistent_id();
      return true;
    case kReduce:
      reduce();
      return true;
    case kBuild:
      build();
      return true;
    default:
      break;
  }
  std::array<char, 8> hex{};
  std::snprintf(hex.data(), hex.size(), "0x%02x", operation);
  fail("uses the pickle operation " + std::string(hex.data()) +
       ", which a state dict never needs; nothing in this file is executed. Save the bare state dict with "
       "torch.save, " +
       "or as safetensors.");
}

bool Unpickler::step_scalar(uint8_t operation) {
  switch (operation) {
    case kNone:
      push(make(PickleNone{}));
      return true;
    case kNewTrue:
    case kNewFalse:
      push(make(operation == kNewTrue));
      return true;
    case kBinInt:
      push(make(static_cast<int64_t>(static_cast<int32_t>(reader_.number(4)))));
      return true;
    case kBinInt1:
      push(make(static_cast<int64_t>(reader_.number(1))));
      return true;
    case kBinInt2:
      push(make(static_cast<int64_t>(reader_.number(2))));
      return true;
    case kLong1:
      push(make(read_long()));
      return true;
    case kBinUnicode:
      push(make(reader_.text(reader_.number(4))));
      return true;
    default:
      return false;
  }
}

bool Unpickler::step_container(uint8_t operation) {
  switch (operation) {
    case kMark:
      if (marks_.size() >= kMaxStack) damaged();
      marks_.push_back(stack_.size());
      return true;
    case kEmptyTuple:
      push(make(PickleTuple{}));
      return true;
    case kTuple1:
    case kTuple2:
    case kTuple3:
      push_tuple(operation - kTuple1 + 1U);
      return true;
    case kTuple:
      push(make(PickleTuple{pop_to_mark()}));
      return true;
    case kEmptyList:
      push(make(PickleList{}));
      return true;
    case kEmptyDict:
      push(make(PickleDict{}));
      return true;
    case kAppend:
      append_items({pop()});
      return true;
    case kAppends:
      append_items(pop_to_mark());
      return true;
    case kSetItem: {
      PickleNode* const value = pop();
      PickleNode* const key = pop();
      set_items({key, value});
      return true;
    }
    case kSetItems:
      set_items(pop_to_mark());
      return true;
    default:
      return false;
  }
}

bool Unpickler::step_memo(uint8_t operation) {
  const bool wide = operation == kLongBinPut || operation == kLongBinGet;
  if (operation == kBinPut || operation == kLongBinPut) {
    memo_[reader_.number(wide ? 4 : 1)] = top();
    return true;
  }
  if (operation == kBinGet || operation == kLongBinGet) {
    const auto it = memo_.find(reader_.number(wide ? 4 : 1));
    if (it == memo_.end()) damaged();
    push(it->second);
    return true;
  }
  return false;
}

template <typename T>
PickleNode* Unpickler::make(T&& value) {
  if (nodes_.size() >= kMaxNodes) fail("holds a pickle with too many values for a state dict.");
  nodes_.push_back(PickleNode{std::forward<T>(value)});
  return &nodes_.back();
}

template <typename T>
T& Unpickler::expect(PickleNode* node) const {
  T* const value = node->as<T>();
  if (value == nullptr) damaged();
  return *value;
}

void Unpickler::push(PickleNode* node) {
  if (stack_.size() >= kMaxStack) damaged();
  stack_.push_back(node);
}

PickleNode* Unpickler::top() const {
  // What lies under the last mark isn't to be touched before the mark is taken away.
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) damaged();
  return stack_.back();
}

PickleNode* Unpickler::pop() {
  PickleNode* const node = top();
  stack_.pop_back();
  return node;
}

std::vector<PickleNode*> Unpickler::pop_to_mark() {
  if (marks_.empty()) damaged();
  const auto begin = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
  std::vector<PickleNode*> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

void Unpickler::push_tuple(size_t count) {
  PickleTuple tuple;
  for (size_t i = 0; i < count; ++i) tuple.items.push_back(pop());
  std::reverse(tuple.items.begin(), tuple.items.end());
  push(make(std::move(tuple)));
}

void Unpickler::set_items(const std::vector<PickleNode*>& items) {
  if (items.size() % 2 != 0) damaged();
  count_items(items.size());
  auto& dict = expect<PickleDict>(top());
  for (size_t i = 0; i < items.size(); i += 2) dict.items.emplace_back(items[i], items[i + 1]);
}

void Unpickler::append_items(const std::vector<PickleNode*>& items) {
  count_items(items.size());
  auto& list = expect<PickleList>(top());
  list.items.insert(list.items.end(), items.begin(), items.end());
}

void Unpickler::count_items(size_t count) {
  items_ += count;
  if (items_ > kMaxItems) fail("holds a pickle with too many values for a state dict.");
}

int64_t Unpickler::read_long() {
  const auto bytes = reader_.take(reader_.number(1));
  if (bytes.size() > 8)
    fail("holds a pickle with a number of more than 64 bits, which no size of a tensor is.");
  if (bytes.empty()) return 0;
  uint64_t value = read_little_endian(bytes);
  const bool negative = (std::to_integer<unsigned>(bytes.back()) & 0x80U) != 0;
  if (negative && bytes.size() < 8) value |= ~uint64_t{0} << (8 * bytes.size());
  return static_cast<int64_t>(value);
}

void Unpickler::global() {
  const std::string_view module = reader_.line();
  const std::string_view name = reader_.line();
  for (const KnownGlobal& known : kGlobals) {
    if (known.module != module || known.name != name) continue;
    if (const auto* function = std::get_if<PickleFunction>(&known.meaning)) {
      push(make(*function));
    } else {
      push(make(std::get<DType>(known.meaning)));
    }
    return;
  }
  fail("asks for " + quote_name(std::string(module.substr(0, 100)) + "." + std::string(name.substr(0, 100))) +
       ", which a state dict never needs; nothing in this file is executed. If you trust it, save its bare "
       "state dict " +
       "with torch.save, or as safetensors.");
}

/// ('storage', class, key, device, number of elements)
void Unpickler::persistent_id() {
  const auto& id = expect<PickleTuple>(pop()).items;
  if (id.size() != 5 || expect<std::string_view>(id[0]) != "storage") damaged();
  const DType dtype = expect<DType>(id[1]);
  const std::string_view key = expect<std::string_view>(id[2]);
  push(make(PickleStorage{dtype, key, expect<int64_t>(id[4])}));
}

void Unpickler::reduce() {
  const auto& arguments = expect<PickleTuple>(pop());
  switch (expect<PickleFunction>(pop())) {
    case PickleFunction::kOrderedDict:
      if (!arguments.items.empty()) damaged();
      push(make(PickleDict{}));
      return;
    case PickleFunction::kRebuildTensor:
      push(rebuild_tensor(arguments));
      return;
    case PickleFunction::kRebuildParameter:
      if (arguments.items.empty()) damaged();
      expect<PickledTensor>(arguments.items[0]);
      push(arguments.items[0]);
      return;
  }
  damaged();
}

/// What is set on a dict this way is its `_metadata`, which says nothing about the tensors.
void Unpickler::build() {
  pop();
  expect<PickleDict>(top());
}

/// (storage, offset, sizes, strides, requires_grad, hooks, ...)
PickleNode* Unpickler::rebuild_tensor(const PickleTuple& arguments) {
  if (arguments.items.size() < 4) damaged();
  const auto& storage = expect<PickleStorage>(arguments.items[0]);
  PickledTensor tensor;
  tensor.dtype = storage.dtype;
  tensor.storage_key = storage.key;
  tensor.storage_numel = storage.numel;
  tensor.offset = expect<int64_t>(arguments.items[1]);
  tensor.shape = integers(arguments.items[2]);
  tensor.strides = integers(arguments.items[3]);
  if (tensor.shape.size() != tensor.strides.size()) damaged();
  return make(std::move(tensor));
}

std::vector<int64_t> Unpickler::integers(PickleNode* node) const {
  const auto& tuple = expect<PickleTuple>(node);
  if (tuple.items.size() > kMaxRank)
    fail("has a tensor of more than " + std::to_string(kMaxRank) + " dimensions.");
  std::vector<int64_t> values;
  values.reserve(tuple.items.size());
  for (PickleNode* const item : tuple.items) values.push_back(expect<int64_t>(item));
  return values;
}

}  // namespace latentcast
