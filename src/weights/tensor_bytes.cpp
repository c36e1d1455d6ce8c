#include "weights/tensor_bytes.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "weights/tensor_layout.h"
#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

/// What LibTorch gives its own CPU tensors; kernels may round differently on other addresses.
constexpr uintptr_t kAlignment = 64;

/// Elements that are copied between two releases of pages.
constexpr int64_t kPiece = Upload::kPieceBytes / 4;

/// Has the system read mapped bytes in large pieces, instead of page by page as it is touched.
void read_ahead(std::span<const std::byte> bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(bytes.data() + bytes.size());
  if (!bytes.empty()) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);
}

/// The tensor in its own type; on a CPU, and valid as long as `view`.
at::Tensor stored(const TensorView& view, at::ScalarType type) {
  const bool aligned = reinterpret_cast<uintptr_t>(view.bytes.data()) % dtype_size(view.dtype) == 0;
  if (aligned && !view.bytes.empty()) {
    return at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape,
                         at::TensorOptions().dtype(type));
  }
  at::Tensor copy = at::empty(view.shape, at::TensorOptions().dtype(type));
  if (!view.bytes.empty()) std::memcpy(copy.data_ptr(), view.bytes.data(), view.bytes.size());
  return copy;
}

/// The tensor in its own type on a GPU.
at::Tensor uploaded(const TensorView& view, at::ScalarType type, at::Device device,
                    const TensorArchive& owner, Upload& upload) {
  at::Tensor tensor = at::empty(view.shape, at::TensorOptions().dtype(type).device(device));
  const auto read = [&](int64_t begin, std::span<std::byte> to) {
    owner.read(view.bytes.subspan(static_cast<size_t>(begin), to.size()), to.data());
  };
  upload.copy(read, tensor.flatten().view(at::kByte));
  return tensor;
}

}  // namespace

at::ScalarType weight_type(const TensorView& view, const std::string& name) {
  switch (view.dtype) {
    case DType::kF32:
      return at::kFloat;
    case DType::kF16:
      return at::kHalf;
    case DType::kBF16:
      return at::kBFloat16;
    default:
      throw InputError("tensor " + quote_name(name) + " in '" + view.file + "' has type " +
                       std::string(dtype_name(view.dtype)) +
                       "; weights must be F32, F16 or BF16. Convert the file.");
  }
}

at::Tensor load_tensor(const TensorView& view, const std::string& name, at::ScalarType dtype,
                       at::Device device, const std::shared_ptr<const TensorArchive>& owner, Upload& upload) {
  const at::ScalarType type = weight_type(view, name);
  if (device.is_meta()) return at::empty(view.shape, at::TensorOptions().dtype(dtype).device(device));
  read_ahead(view.bytes);
  const bool aligned = reinterpret_cast<uintptr_t>(view.bytes.data()) % kAlignment == 0;
  if (device.is_cpu() && type == dtype && aligned && !view.bytes.empty()) {
    return at::from_blob(
        const_cast<std::byte*>(view.bytes.data()), view.shape, [owner](void*) {},
        at::TensorOptions().dtype(type));
  }
  if (!device.is_cpu()) return uploaded(view, type, device, *owner, upload).to(dtype);
  at::Tensor copy = stored(view, type).to(dtype, /*non_blocking=*/false, /*copy=*/true);
  owner->release(view.bytes);
  return copy;
}

void copy_elements(const TensorView& view, const std::string& name, int64_t first, const at::Tensor& to,
                   const TensorArchive& owner, Upload& upload) {
  const at::ScalarType type = weight_type(view, name);
  const auto size = static_cast<int64_t>(dtype_size(view.dtype));
  const auto bytes_of = [&](int64_t begin, int64_t count) {
    return view.bytes.subspan(static_cast<size_t>(begin * size), static_cast<size_t>(count * size));
  };
  read_ahead(bytes_of(first, to.numel()));
  for (int64_t done = 0; done < to.numel(); done += kPiece) {
    const int64_t count = std::min(kPiece, to.numel() - done);
    const TensorView piece{view.dtype, {count}, bytes_of(first + done, count), view.file};
    to.narrow(0, done, count)
        .copy_(to.is_cpu() ? stored(piece, type) : uploaded(piece, type, to.device(), owner, upload));
    owner.release(piece.bytes);
  }
}

}  // namespace latentcast
