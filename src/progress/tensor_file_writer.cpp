#include <algorithm>

#include "stored_type.h"
#include "tensor_file.h"
#include "xxh3.h"
#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

/// HDF5's own structures come in pieces of this size; room for the first is taken at once, so that a disk
/// which tensors have filled is not found out by HDF5, which can't go on after that.
constexpr off_t kStructures = 1 << 16;
/// A piece stays in the processor's cache between being summed and being copied to the system.
constexpr int64_t kPiece = 1 << 20;
/// After so much the system is told to begin writing, so that syncing at the end is short.
constexpr int64_t kBatch = int64_t{64} << 20;
constexpr hsize_t kAlignedFrom = 1 << 16, kAlignment = 4096;

Hdf5Handle create_file(const fs::path& path) {
  const Hdf5Handle access = hdf5_file_access();
  H5Pset_meta_block_size(access, kStructures);
  H5Pset_alignment(access, kAlignedFrom, kAlignment);
  Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), &H5Fclose);
  if (!file.valid()) throw_hdf5_output_error(path);
  return file;
}

Hdf5Handle create_file_locked(const fs::path& path) {
  const Hdf5Lock lock;
  return create_file(path);
}

}  // namespace

TensorFileWriter::TensorFileWriter(const fs::path& file)
    : path_(file), descriptor_(file, O_RDWR | O_CREAT | O_TRUNC), file_(create_file_locked(file)) {
  try {
    reserve(0, 2 * kStructures);
  } catch (...) {
    const Hdf5Lock lock;
    file_.reset();
    throw;
  }
}

TensorFileWriter::~TensorFileWriter() {
  const Hdf5Lock lock;
  file_.reset();
}

/// Without changing the file's size, which HDF5 counts itself.
void TensorFileWriter::reserve(off_t offset, off_t size) {
  if (size == 0 || ::fallocate(descriptor_.number(), FALLOC_FL_KEEP_SIZE, offset, size) == 0) return;
  if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL && errno != EINTR) {
    throw_output_error(path_, errno);
  }
}

Hdf5Handle TensorFileWriter::create(const std::string& name, const std::vector<at::Tensor>& parts,
                                    off_t& offset) {
  const at::Tensor& first = parts.front();
  const StoredType type = stored_type(first.scalar_type());
  std::vector<hsize_t> shape(first.sizes().begin(), first.sizes().end());
  for (size_t i = 1; i < parts.size(); ++i) shape.front() += static_cast<hsize_t>(parts[i].size(0));
  const Hdf5Handle space(shape.empty()
                             ? H5Screate(H5S_SCALAR)
                             : H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                         &H5Sclose);
  const Hdf5Handle links(H5Pcreate(H5P_LINK_CREATE), &H5Pclose);
  H5Pset_create_intermediate_group(links, 1);
  const Hdf5Handle how(H5Pcreate(H5P_DATASET_CREATE), &H5Pclose);
  H5Pset_layout(how, H5D_CONTIGUOUS);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(how, H5D_FILL_TIME_NEVER);
  Hdf5Handle set(H5Dcreate2(file_, name.c_str(), type.hdf5, space, links, how, H5P_DEFAULT), &H5Dclose);
  if (!set.valid()) throw_hdf5_output_error(path_);
  write_text_attribute(set, "dtype", type.name, path_);
  const haddr_t place = first.nbytes() == 0 ? 0 : H5Dget_offset(set);
  if (place == HADDR_UNDEF) throw_hdf5_output_error(path_);
  offset = static_cast<off_t>(place);
  return set;
}

std::string TensorFileWriter::write_bytes(const std::vector<at::Tensor>& parts, off_t offset) {
  int64_t all = 0;
  for (const at::Tensor& part : parts) all += static_cast<int64_t>(part.nbytes());
  reserve(offset, all);
  Xxh3 hash;
  int64_t begun = 0, done = 0;
  for (const at::Tensor& part : parts) {
    const auto* bytes = static_cast<const char*>(part.const_data_ptr());
    const auto size = static_cast<int64_t>(part.nbytes());
    for (int64_t at = 0; at < size; at += kPiece) {
      const auto piece = static_cast<size_t>(std::min(kPiece, size - at));
      hash.update(bytes + at, piece);
      descriptor_.write_all_at(bytes + at, piece, offset + done, path_);
      done += static_cast<int64_t>(piece);
      if (done - begun >= kBatch) {
        // A hint: nothing depends on it.
        ::sync_file_range(descriptor_.number(), offset + begun, done - begun, SYNC_FILE_RANGE_WRITE);
        begun = done;
      }
    }
  }
  return hash.digest();
}

void TensorFileWriter::add_parts(const std::string& name, const std::vector<at::Tensor>& parts) {
  for (const at::Tensor& part : parts) {
    if (!part.defined() || !part.is_cpu() || !part.is_contiguous()) {
      throw InternalError(name + ": only contiguous tensors of the host are stored");
    }
  }
  off_t offset = 0;
  Hdf5Handle set;
  {
    const Hdf5Lock lock;
    set = create(name, parts, offset);
  }
  std::string hash;
  try {
    hash = write_bytes(parts, offset);
  } catch (...) {
    const Hdf5Lock lock;
    set.reset();
    throw;
  }
  const Hdf5Lock lock;
  const Hdf5Handle last = std::move(set);
  write_text_attribute(last, "xxh3", hash, path_);
}

void TensorFileWriter::add_number(const std::string& name, int64_t value) {
  const Hdf5Lock lock;
  write_number_attribute(file_, name.c_str(), value, path_);
}

void TensorFileWriter::add_text(const std::string& name, const std::string& value) {
  const Hdf5Lock lock;
  write_text_attribute(file_, name.c_str(), value, path_);
}

void TensorFileWriter::close_hdf5() {
  const Hdf5Lock lock;
  if (H5Fflush(file_, H5F_SCOPE_LOCAL) < 0 || !file_.close()) {
    throw_hdf5_output_error(path_);
  }
}

void TensorFileWriter::close() {
  close_hdf5();
  descriptor_.sync(path_);
  descriptor_.close(path_);
}

}  // namespace latentcast
