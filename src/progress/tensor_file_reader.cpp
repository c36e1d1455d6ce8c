#include <algorithm>

#include "stored_type.h"
#include "tensor_file.h"
#include "xxh3.h"
#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPiece = 1 << 20;

Hdf5Handle open_file(const fs::path& path) {
  const Hdf5Lock lock;
  const Hdf5Handle access = hdf5_file_access();
  Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), &H5Fclose);
  if (!file.valid()) throw_hdf5_damage(path, "it can't be opened");
  return file;
}

/// A file that isn't there is not one that can't be written.
Descriptor open_descriptor(const fs::path& path) {
  const int number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (number < 0) throw InputError(path.string() + " can't be read: " + std::strerror(errno));
  return Descriptor(number);
}

herr_t collect(hid_t, const char* name, const H5O_info_t* info, void* names) {
  if (info->type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

herr_t collect_attribute(hid_t, const char* name, const H5A_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

std::vector<int64_t> shape_of(hid_t set, const fs::path& path, const std::string& name) {
  const Hdf5Handle space(H5Dget_space(set), &H5Sclose);
  const int rank = space.valid() ? H5Sget_simple_extent_ndims(space) : -1;
  std::vector<hsize_t> sizes(static_cast<size_t>(std::max(rank, 0)));
  if (rank < 0 || H5Sget_simple_extent_dims(space, sizes.data(), nullptr) != rank) {
    throw_hdf5_damage(path, name + " has no shape");
  }
  return {sizes.begin(), sizes.end()};
}

std::string shape_text(at::IntArrayRef shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

}  // namespace

TensorFileReader::TensorFileReader(const fs::path& file)
    : path_(file), descriptor_(open_descriptor(file)), file_(open_file(file)) {}

TensorFileReader::~TensorFileReader() {
  const Hdf5Lock lock;
  file_.reset();
}

std::vector<std::string> TensorFileReader::names() const {
  const Hdf5Lock lock;
  std::vector<std::string> names;
  if (H5Ovisit2(file_, H5_INDEX_NAME, H5_ITER_NATIVE, &collect, &names, H5O_INFO_BASIC) < 0) {
    throw_hdf5_damage(path_, "its contents can't be listed");
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool TensorFileReader::has(const std::string& name) const {
  const std::vector<std::string> all = names();
  return std::binary_search(all.begin(), all.end(), name);
}

TensorFileReader::Description TensorFileReader::describe(const std::string& name) const {
  const Hdf5Lock lock;
  const Hdf5Handle set(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), &H5Dclose);
  if (!set.valid()) throw_hdf5_damage(path_, "it lacks " + name);
  Description stored;
  stored.type_name = read_text_attribute(set, "dtype", path_);
  const StoredType type = stored_type(stored.type_name);
  const Hdf5Handle actual(H5Dget_type(set), &H5Tclose);
  if (!type.name || H5Tequal(actual, type.hdf5) <= 0) {
    throw_hdf5_damage(path_, name + " has the unknown type " + stored.type_name);
  }
  stored.type = type.scalar;
  stored.shape = shape_of(set, path_, name);
  stored.xxh3 = read_text_attribute(set, "xxh3", path_);
  const bool empty = std::find(stored.shape.begin(), stored.shape.end(), 0) != stored.shape.end();
  const haddr_t place = empty ? 0 : H5Dget_offset(set);
  if (place == HADDR_UNDEF) throw_hdf5_damage(path_, name + " has no contents");
  stored.offset = static_cast<off_t>(place);
  return stored;
}

void TensorFileReader::read_bytes(const std::string& name, const Description& stored,
                                  const at::Tensor& target) const {
  auto* bytes = static_cast<char*>(target.data_ptr());
  const auto size = static_cast<int64_t>(target.nbytes());
  Xxh3 hash;
  for (int64_t at = 0; at < size;) {
    const auto piece = static_cast<size_t>(std::min(kPiece, size - at));
    const ssize_t got = ::pread(descriptor_.number(), bytes + at, piece, stored.offset + at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      throw InputError(path_.string() + " is damaged: " + name + " can't be read to its end" +
                       (got < 0 ? std::string(": ") + std::strerror(errno) : ""));
    }
    hash.update(bytes + at, static_cast<size_t>(got));
    at += got;
  }
  if (hash.digest() != stored.xxh3) {
    throw InputError(path_.string() + " is damaged: " + name + " is not what was written");
  }
}

at::Tensor TensorFileReader::read(const std::string& name) const {
  const Description stored = describe(name);
  // A damaged shape must not ask for more memory than the file could fill.
  std::error_code error;
  const double file_size = static_cast<double>(fs::file_size(path_, error));
  double elements = 1;
  for (const int64_t size : stored.shape) elements *= static_cast<double>(size);
  if (elements * static_cast<double>(c10::elementSize(stored.type)) > file_size) {
    throw InputError(path_.string() + " is damaged: " + name + " is larger than the file");
  }
  const at::Tensor tensor = at::empty(stored.shape, at::TensorOptions(stored.type));
  read_bytes(name, stored, tensor);
  return tensor;
}

void TensorFileReader::read_into(const std::string& name, const at::Tensor& target) const {
  const Description stored = describe(name);
  if (!target.is_cpu() || !target.is_contiguous()) {
    throw InternalError(name + ": read into a tensor that isn't contiguous host memory");
  }
  if (target.scalar_type() != stored.type || target.sizes() != at::IntArrayRef(stored.shape)) {
    throw InputError(path_.string() + ": " + name + " is " + stored.type_name + " " +
                     shape_text(stored.shape) + ", but " + c10::toString(target.scalar_type()) + " " +
                     shape_text(target.sizes()) + " is needed: it belongs to another model or size");
  }
  read_bytes(name, stored, target);
}

int64_t TensorFileReader::number(const std::string& name) const {
  const Hdf5Lock lock;
  return read_number_attribute(file_, name.c_str(), path_);
}

std::string TensorFileReader::text(const std::string& name) const {
  const Hdf5Lock lock;
  return read_text_attribute(file_, name.c_str(), path_);
}

std::vector<std::pair<std::string, std::string>> TensorFileReader::attributes() const {
  const Hdf5Lock lock;
  std::vector<std::string> names;
  if (H5Aiterate2(file_, H5_INDEX_NAME, H5_ITER_INC, nullptr, &collect_attribute, &names) < 0) {
    throw_hdf5_damage(path_, "its attributes can't be listed");
  }
  std::vector<std::pair<std::string, std::string>> found;
  for (const std::string& name : names) {
    const Hdf5Handle attribute(H5Aopen(file_, name.c_str(), H5P_DEFAULT), &H5Aclose);
    const Hdf5Handle type(H5Aget_type(attribute), &H5Tclose);
    const bool is_text = type.valid() && H5Tget_class(type) == H5T_STRING;
    found.emplace_back(name, is_text ? read_text_attribute(file_, name.c_str(), path_)
                                     : std::to_string(read_number_attribute(file_, name.c_str(), path_)));
  }
  return found;
}

}  // namespace latentcast
