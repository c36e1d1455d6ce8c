#include "latentcast/weights/safetensors_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "weights/spool_file.h"
#include "weights/tensor_layout.h"
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

/// Data begin at a multiple of this, so that a reader may use them where they lie.
constexpr size_t kAlignment = 64;

void sync_folder(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const int fd = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // some file systems have no such thing as opening a folder
  ::fsync(fd);
  ::close(fd);
}

/// Removes a half-written file unless it is kept.
class PartFile {
 public:
  explicit PartFile(std::string path) : path_(std::move(path)) {}
  ~PartFile() {
    if (!kept_) ::unlink(path_.c_str());
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  void rename_to(const std::string& final_path) {
    if (::rename(path_.c_str(), final_path.c_str()) != 0) {
      throw OutputError("can't rename '" + path_ + "' to '" + final_path + "': " + std::strerror(errno) +
                        ".");
    }
    kept_ = true;
  }

 private:
  std::string path_;
  bool kept_ = false;
};

}  // namespace

class SafetensorsWriter::Impl {
 public:
  explicit Impl(std::string path) : path_(std::move(path)), common_(SpoolFile::unnamed_beside(path_)) {}

  void add(const std::string& name, DType dtype, std::vector<int64_t> shape,
           std::span<const std::byte> bytes) {
    check_name(name);
    if (tensors_.contains(name)) fail(name, "is written twice");
    if (byte_size(dtype, shape) != bytes.size())
      fail(name, "has bytes that don't fit its shape " + shape_text(shape));
    const uint64_t offset = common_.size();
    common_.write(bytes);
    tensors_.emplace(name, Tensor{dtype, std::move(shape), std::nullopt, offset, bytes.size()});
  }

  void append(const std::string& name, DType dtype, std::vector<int64_t> row_shape,
              std::span<const std::byte> bytes) {
    check_name(name);
    const auto row = byte_size(dtype, row_shape);
    if (!row || *row == 0 || bytes.size() % *row != 0) fail(name, "has bytes that aren't whole rows");
    auto it = tensors_.find(name);
    if (it == tensors_.end()) {
      row_shape.insert(row_shape.begin(), 0);
      it = tensors_.emplace(name, Tensor{dtype, row_shape, SpoolFile::unnamed_beside(path_), 0, 0}).first;
    } else if (!it->second.rows || it->second.dtype != dtype ||
               !std::equal(row_shape.begin(), row_shape.end(), it->second.shape.begin() + 1,
                           it->second.shape.end())) {
      fail(name, "gets rows of another type or shape than before");
    }
    it->second.rows->write(bytes);
    it->second.size += bytes.size();
    it->second.shape[0] += static_cast<int64_t>(bytes.size() / *row);
  }

  void close() {
    if (closed_) throw InternalError("'" + path_ + "' is closed twice");
    closed_ = true;
    const auto order = data_order();
    PartFile part(path_ + ".part");
    SpoolFile file = SpoolFile::named(path_ + ".part");
    const std::string header = header_text(order);
    file.write(std::as_bytes(std::span(header)));
    for (const auto* entry : order) {
      const Tensor& tensor = entry->second;
      file.copy_from(tensor.rows ? *tensor.rows : common_, tensor.offset, tensor.size);
    }
    file.sync();
    part.rename_to(path_);
    sync_folder(path_);
  }

 private:
  struct Tensor {
    DType dtype;
    std::vector<int64_t> shape;
    std::optional<SpoolFile> rows;  // else in the common file
    uint64_t offset;
    uint64_t size;
  };
  using Entry = std::map<std::string, Tensor>::value_type;

  [[noreturn]] void fail(const std::string& name, const std::string& what) const {
    throw InternalError("tensor " + quote_name(name) + " for '" + path_ + "' " + what);
  }

  void check_name(const std::string& name) const {
    if (closed_) fail(name, "comes after close()");
    if (name == "__metadata__") fail(name, "has a name that the format keeps for itself");
  }

  /// Wide elements first, so that every tensor is aligned to its element; then by name.
  std::vector<const Entry*> data_order() const {
    std::vector<const Entry*> order;
    for (const Entry& entry : tensors_) order.push_back(&entry);
    std::stable_sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
      return dtype_size(a->second.dtype) > dtype_size(b->second.dtype);
    });
    return order;
  }

  /// Length and JSON, filled up with spaces.
  static std::string header_text(const std::vector<const Entry*>& order) {
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    uint64_t offset = 0;
    for (const Entry* entry : order) {
      const Tensor& tensor = entry->second;
      json[entry->first] = {{"dtype", dtype_name(tensor.dtype)},
                            {"shape", tensor.shape},
                            {"data_offsets", {offset, offset + tensor.size}}};
      offset += tensor.size;
    }
    std::string text = json.dump();
    text.append((kAlignment - (8 + text.size()) % kAlignment) % kAlignment, ' ');
    std::string length;
    for (int i = 0; i < 8; ++i) length += static_cast<char>((text.size() >> (8 * i)) & 0xff);
    return length + text;
  }

  std::string path_;
  SpoolFile common_;
  std::map<std::string, Tensor> tensors_;
  bool closed_ = false;
};

SafetensorsWriter::SafetensorsWriter(std::string path) : impl_(std::make_unique<Impl>(std::move(path))) {}
SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::add(const std::string& name, DType dtype, std::vector<int64_t> shape,
                            std::span<const std::byte> bytes) {
  impl_->add(name, dtype, std::move(shape), bytes);
}

void SafetensorsWriter::append(const std::string& name, DType dtype, std::vector<int64_t> row_shape,
                               std::span<const std::byte> bytes) {
  impl_->append(name, dtype, std::move(row_shape), bytes);
}

void SafetensorsWriter::close() { impl_->close(); }

}  // namespace latentcast
