#include <string>
#include <utility>

#include "nccl_library.h"
#include <ATen/core/Tensor.h>
#include <dlfcn.h>

#include "latentcast/beside_program.h"
#include "latentcast/comm/communicator.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

MakeNcclCommunicator load_library() {
  // Never closed: CUDA and NCCL keep threads and callbacks in it.
  void* library = dlopen(beside_program(kCudaLibrary).c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = library == nullptr ? nullptr : dlsym(library, kMakeNcclCommunicator);
  if (entry == nullptr) {
    const char* reason = dlerror();
    throw InternalError(
        std::string("several GPUs can't be used, ") + kCudaLibrary +
        " can't be loaded: " + (reason != nullptr ? reason : "no reason given") +
        "; it lies beside the program if CUDA's runtime and NCCL were found when it was built; use "
        "one rank, or --device cpu");
  }
  return reinterpret_cast<MakeNcclCommunicator>(entry);
}

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(const MpiSession& mpi, int device,
                                                     std::chrono::seconds deadline, SendWay way) {
  if (mpi.world().size == 1) {
    return make_single_communicator();
  }
  const MakeNcclCommunicator make = load_library();
  NcclStart start{mpi.cpu_communicator(deadline), {}, device, deadline, [&mpi](std::function<void()> action) {
                    mpi.at_abort(std::move(action));
                  }};
  start.direct = way == SendWay::kAuto;
  for (const std::string& host : mpi.gather_strings(mpi.world().host)) {
    start.peers.push_back({static_cast<int>(start.peers.size()), host});
  }
  return std::unique_ptr<Communicator>(make(&start));
}

}  // namespace latentcast
