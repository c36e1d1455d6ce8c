#include "latentcast/weights/torch_archive.h"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "weights/byte_reader.h"
#include "weights/state_dict_pickle.h"
#include "weights/strided_copy.h"
#include "weights/tensor_layout.h"
#include "weights/zip_directory.h"

#include "latentcast/error.h"
#include "latentcast/weights/mapped_file.h"
#include "latentcast/weights/safetensors.h"

namespace latentcast {
namespace {

using Records = std::map<std::string_view, std::span<const std::byte>>;

constexpr uint64_t kZipMagic = 0x04034b50;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// torch.save puts everything under one folder, named after the file when it was saved.
std::string root_folder(const Records& records, const std::string& name) {
  constexpr std::string_view kPickle = "/data.pkl";
  std::optional<std::string> folder;
  for (const auto& [record, content] : records) {
    const size_t slash = record.find('/');
    if (slash == std::string_view::npos || record.substr(slash) != kPickle) continue;
    if (folder) throw InputError("'" + name + "' holds two saved objects; one state dict is needed.");
    folder = std::string(record.substr(0, slash));
  }
  if (!folder) {
    throw InputError("'" + name + "' is a zip archive but not one of torch.save: it has no data.pkl.");
  }
  return *folder;
}

void check_byte_order(const Records& records, const std::string& folder, const std::string& name) {
  const auto it = records.find(folder + "/byteorder");
  if (it == records.end() || as_text(it->second) == "little") return;
  throw InputError("'" + name + "' was saved with byte order " + quote_name(as_text(it->second)) +
                   "; only 'little' can be read. Save it again on an x86 or ARM machine.");
}

/// Turns the pickle's descriptions into views of the records, checking every number on the way.
class TensorLocator {
 public:
  TensorLocator(const Records& records, std::string folder, const std::string& file, uint64_t copy_limit)
      : records_(records), folder_(std::move(folder)), file_(file), copies_left_(copy_limit) {}

  TensorView locate(const PickledTensor& tensor, TensorArchive& archive) {
    const auto storage = find_storage(tensor);
    const auto count = element_count(tensor.shape);
    if (!count) fail(tensor, "has a shape that is too large");
    if (tensor.offset < 0 || tensor.offset > tensor.storage_numel)
      fail(tensor, "lies outside of its storage");
    const auto rest = storage.subspan(static_cast<uint64_t>(tensor.offset) * dtype_size(tensor.dtype));
    TensorView view{tensor.dtype, tensor.shape, {}, file_};
    if (*count == 0) return view;
    const auto extent = strided_extent(tensor.shape, tensor.strides);
    if (!extent || *extent > rest.size() / dtype_size(tensor.dtype))
      fail(tensor, "reaches beyond its storage");
    if (is_row_major(tensor.shape, tensor.strides)) {
      view.bytes = rest.first(*count * dtype_size(tensor.dtype));
    } else {
      view.bytes = copy(tensor, rest, *count, archive);
    }
    return view;
  }

 private:
  [[noreturn]] void fail(const PickledTensor& tensor, const std::string& what) const {
    throw InputError("'" + file_ + "' is damaged: tensor " + quote_name(tensor.name) + " " + what +
                     ". Download or save it again.");
  }

  std::span<const std::byte> find_storage(const PickledTensor& tensor) const {
    constexpr size_t kMaxKey = 64;  // it is a small number
    if (tensor.storage_key.size() > kMaxKey) fail(tensor, "has a storage with too long a name");
    const auto it = records_.find(folder_ + "/data/" + std::string(tensor.storage_key));
    if (it == records_.end())
      fail(tensor, "needs the storage " + quote_name(tensor.storage_key) + ", which is missing");
    const std::array<int64_t, 1> numel = {tensor.storage_numel};
    const auto size = byte_size(tensor.dtype, numel);
    if (!size || *size != it->second.size()) fail(tensor, "has a storage of another size than it says");
    return it->second;
  }

  /// Many tensors may be strided views of one storage, so the sum of the copies is what has to be bounded.
  std::span<const std::byte> copy(const PickledTensor& tensor, std::span<const std::byte> from,
                                  uint64_t count, TensorArchive& archive) {
    const uint64_t size = count * dtype_size(tensor.dtype);
    if (count > static_cast<uint64_t>(tensor.storage_numel) || size > copies_left_) {
      throw InputError("tensor " + quote_name(tensor.name) + " in '" + file_ +
                       "' is an expanded view of fewer numbers. Save a contiguous copy of it.");
    }
    copies_left_ -= size;
    const std::shared_ptr<std::byte[]> memory(new std::byte[size]);
    copy_strided(from, tensor.shape, tensor.strides, dtype_size(tensor.dtype), {memory.get(), size});
    archive.own(memory);
    return {memory.get(), size};
  }

  const Records& records_;
  std::string folder_;
  const std::string& file_;
  uint64_t copies_left_;
};

bool looks_like_safetensors(std::span<const std::byte> file) {
  constexpr uint64_t kMaxHeader = 100'000'000;
  return file.size() > 8 && file[8] == std::byte{'{'} && read_little_endian(file.first<8>()) <= kMaxHeader;
}

bool looks_like_zip(std::span<const std::byte> file) {
  return file.size() >= 4 && read_little_endian(file.first<4>()) == kZipMagic;
}

/// Before torch 1.6 a saved file was a row of bare pickles, or (before 0.2) a tar archive.
void refuse_legacy(std::span<const std::byte> file, const std::string& name) {
  const bool pickle = file.size() >= 2 && file[0] == std::byte{0x80} && std::to_integer<int>(file[1]) <= 5;
  const bool tar = file.size() >= 262 && as_text(file.subspan(257, 5)) == "ustar";
  if (!pickle && !tar) return;
  throw InputError(
      "'" + name +
      "' is in the old format of torch.save (before 1.6), which isn't read. Convert it once with: python -c "
      "\"import torch; torch.save(torch.load('OLD.pth', map_location='cpu', weights_only=True), "
      "'NEW.pth')\"");
}

}  // namespace

TensorArchive parse_torch_archive(std::span<const std::byte> file, const std::string& name) {
  if (!looks_like_zip(file)) {
    refuse_legacy(file, name);
    throw InputError("'" + name + "' isn't a file of torch.save. Check its name, or download it again.");
  }
  const Records records = read_zip_directory(file, name);
  const std::string folder = root_folder(records, name);
  check_byte_order(records, folder, name);
  TensorLocator locator(records, folder, name, file.size());
  TensorArchive archive(name);
  for (const PickledTensor& tensor : read_state_dict_pickle(records.at(folder + "/data.pkl"), name)) {
    TensorView view = locator.locate(tensor, archive);
    archive.add(std::string(tensor.name), std::move(view));
  }
  return archive;
}

TensorArchive open_torch_archive(const std::string& path) {
  auto file = std::make_shared<const MappedFile>(path);
  TensorArchive archive = parse_torch_archive(file->bytes(), path);
  archive.own_mapping(std::move(file));
  return archive;
}

TensorArchive open_archive(const std::string& path) {
  auto file = std::make_shared<const MappedFile>(path);
  const auto bytes = file->bytes();
  const bool torch = !looks_like_safetensors(bytes);
  if (torch && !looks_like_zip(bytes)) {
    refuse_legacy(bytes, path);
    throw InputError("'" + path +
                     "' is neither a safetensors file nor one of torch.save. Download it again.");
  }
  TensorArchive archive = torch ? parse_torch_archive(bytes, path) : parse_safetensors(bytes, path);
  archive.own_mapping(std::move(file));
  return archive;
}

}  // namespace latentcast
