#include "mapped_memory.h"

#include <new>
#include <stdexcept>
#include <utility>

#include "memory_limit.h"
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

namespace latentcast::cuda {
namespace {

/// The driver's function of this name: its library is there where a GPU is, and can't be linked elsewhere.
template <typename Function>
Function* driver(const char* name) {
  static void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  void* const found = library == nullptr ? nullptr : dlsym(library, name);
  if (found == nullptr) throw std::runtime_error(std::string("the NVIDIA driver has no ") + name);
  return reinterpret_cast<Function*>(found);
}

void check(CUresult result, const char* what) {
  if (result == CUDA_ERROR_OUT_OF_MEMORY) throw std::bad_alloc();
  if (result != CUDA_SUCCESS) {
    throw std::runtime_error(std::string("CUDA: ") + what + " failed with error " + std::to_string(result));
  }
}

CUmemAllocationProp properties(int device) {
  CUmemAllocationProp prop{};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  return prop;
}

}  // namespace

MappablePiece::MappablePiece(int device, size_t bytes) {
  const CUmemAllocationProp prop = properties(device);
  size_t unit = 0;
  check(driver<decltype(cuMemGetAllocationGranularity)>("cuMemGetAllocationGranularity")(
            &unit, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
        "cuMemGetAllocationGranularity");
  bytes_ = (bytes + unit - 1) / unit * unit;
  if (!fits_limit(device, bytes_)) throw std::bad_alloc();
  check(driver<decltype(cuMemCreate)>("cuMemCreate")(&handle_, bytes_, &prop, 0), "cuMemCreate");
  count_mapped(static_cast<int64_t>(bytes_));
}

MappablePiece::~MappablePiece() {
  driver<decltype(cuMemRelease)>("cuMemRelease")(handle_);
  count_mapped(-static_cast<int64_t>(bytes_));
}

Mapping::Mapping(int device, std::vector<std::shared_ptr<const MappablePiece>> pieces)
    : pieces_(std::move(pieces)), device_(device) {
  for (const auto& piece : pieces_) bytes_ += piece->bytes();
  CUdeviceptr address = 0;
  check(driver<decltype(cuMemAddressReserve)>("cuMemAddressReserve")(&address, bytes_, 0, 0, 0),
        "cuMemAddressReserve");
  address_ = address;
  size_t mapped = 0;
  try {
    size_t offset = 0;
    for (; mapped < pieces_.size(); offset += pieces_[mapped++]->bytes()) {
      const MappablePiece& piece = *pieces_[mapped];
      check(driver<decltype(cuMemMap)>("cuMemMap")(address_ + offset, piece.bytes(), 0, piece.handle(), 0),
            "cuMemMap");
    }
    const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, device}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    check(driver<decltype(cuMemSetAccess)>("cuMemSetAccess")(address_, bytes_, &access, 1), "cuMemSetAccess");
  } catch (...) {
    unmap(mapped);
    throw;
  }
}

Mapping::~Mapping() {
  int current = 0;
  cudaGetDevice(&current);
  cudaSetDevice(device_);
  cudaDeviceSynchronize();
  cudaSetDevice(current);
  unmap(pieces_.size());
}

void Mapping::unmap(size_t pieces) {
  size_t offset = 0;
  for (size_t i = 0; i < pieces; offset += pieces_[i++]->bytes()) {
    driver<decltype(cuMemUnmap)>("cuMemUnmap")(address_ + offset, pieces_[i]->bytes());
  }
  driver<decltype(cuMemAddressFree)>("cuMemAddressFree")(address_, bytes_);
}

}  // namespace latentcast::cuda
