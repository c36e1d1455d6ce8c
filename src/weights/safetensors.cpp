#include "latentcast/weights/safetensors.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

#include "weights/byte_reader.h"
#include "weights/safetensors_header.h"
#include "weights/tensor_layout.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the format's own limit
constexpr uint64_t kLengthField = 8;

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw InputError("'" + file + "' " + what + " Download it again.");
}

uint64_t header_length(std::span<const std::byte> file, const std::string& name) {
  if (file.size() < kLengthField + 2) fail(name, "is too short for a safetensors file.");
  const uint64_t length = read_little_endian(file.first<8>());
  if (length > kMaxHeader) {
    fail(name, "isn't a safetensors file: its header would be " + std::to_string(length) + " bytes long.");
  }
  if (length > file.size() - kLengthField) {
    fail(name, "ends within its header (" + std::to_string(length) + " bytes long).");
  }
  if (length == 0 || file[kLengthField] != std::byte{'{'}) {
    fail(name, "isn't a safetensors file: its header isn't a JSON object.");
  }
  return length;
}

void check_entry(const SafetensorsEntry& entry, uint64_t data_size, const std::string& file) {
  const std::string tensor = "tensor " + quote_name(entry.name);
  if (entry.begin > entry.end) fail(file, "is damaged: " + tensor + " ends before it begins.");
  if (entry.end > data_size) {
    fail(file, "ends too early: " + tensor + " needs " + std::to_string(entry.end) +
                   " bytes of data, there are " + std::to_string(data_size) + ".");
  }
  const auto size = byte_size(entry.dtype, entry.shape);
  if (!size) fail(file, "is damaged: the shape of " + tensor + " is too large.");
  if (*size != entry.end - entry.begin) {
    fail(file, "is damaged: " + tensor + " of type " + std::string(dtype_name(entry.dtype)) + " and shape " +
                   shape_text(entry.shape) + " needs " + std::to_string(*size) + " bytes and has " +
                   std::to_string(entry.end - entry.begin) + ".");
  }
}

/// The format asks that tensors fill the data without gaps or overlaps, so every byte of a file has one
/// meaning.
void check_order(std::vector<SafetensorsEntry>& entries, uint64_t data_size, const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t filled = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin < filled)
      fail(file, "is damaged: tensor " + quote_name(entry.name) + " overlaps another one.");
    if (entry.begin > filled)
      fail(file, "is damaged: there is a gap before tensor " + quote_name(entry.name) + ".");
    filled = entry.end;
  }
  if (filled != data_size) {
    fail(file,
         "is damaged: " + std::to_string(data_size - filled) + " bytes at its end belong to no tensor.");
  }
}

}  // namespace

TensorArchive parse_safetensors(std::span<const std::byte> file, const std::string& name) {
  const uint64_t length = header_length(file, name);
  const auto header = file.subspan(kLengthField, length);
  const auto data = file.subspan(kLengthField + length);
  auto entries = read_safetensors_header({reinterpret_cast<const char*>(header.data()), header.size()}, name);
  for (const SafetensorsEntry& entry : entries) check_entry(entry, data.size(), name);
  check_order(entries, data.size(), name);
  TensorArchive archive(name);
  for (SafetensorsEntry& entry : entries) {
    const auto bytes = data.subspan(entry.begin, entry.end - entry.begin);
    archive.add(std::move(entry.name), TensorView{entry.dtype, std::move(entry.shape), bytes, name});
  }
  return archive;
}

}  // namespace latentcast
