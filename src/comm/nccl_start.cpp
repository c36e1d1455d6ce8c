#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "nccl_communicator.h"
#include "nccl_group.h"
#include "wait.h"
#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr std::chrono::seconds kShortestStart(120);  // NCCL needs seconds, on many hosts many

void check_own_gpu_each(const NcclStart& start) {
  char bus[32] = "";
  check_cuda(cudaDeviceGetPCIBusId(&bus[0], sizeof bus, start.device), "cudaDeviceGetPCIBusId");
  const std::vector<std::string> buses = gather_strings(*start.cpu, bus);
  std::map<std::string, Peer> owners;
  for (size_t i = 0; i < buses.size(); ++i) {
    const auto [owner, is_new] = owners.emplace(start.peers[i].host + " " + buses[i], start.peers[i]);
    if (!is_new) {
      throw InputError(name_of(owner->second) + " and " + name_of(start.peers[i]) + " have the same GPU, " +
                       buses[i] +
                       "; start one rank per GPU, or check CUDA_VISIBLE_DEVICES and Slurm's --gpus-per-task");
    }
  }
}

/// Every rank makes the ids of the links that start at it.
std::vector<ncclUniqueId> exchange_ids(Communicator& cpu) {
  const auto size = static_cast<size_t>(cpu.size());
  std::vector<ncclUniqueId> own(size), all(size * size);
  for (size_t i = 0; i < size; ++i) {
    // The diagonal has no link; its first place is the collectives'.
    if (static_cast<int>(i) != cpu.rank() || i == 0) {
      check_nccl(ncclGetUniqueId(&own[i]), "ncclGetUniqueId");
    }
  }
  const auto bytes = static_cast<int64_t>(sizeof(ncclUniqueId) * size);
  at::Tensor part = at::empty({bytes}, at::kByte), whole = at::empty({bytes * cpu.size()}, at::kByte);
  std::memcpy(part.data_ptr(), own.data(), part.nbytes());
  cpu.all_gather(part, whole);
  std::memcpy(all.data(), whole.data_ptr(), whole.nbytes());
  return all;
}

}  // namespace

std::unique_ptr<Communicator> start_gpu_group(NcclStart start) {
  if (start.cpu->size() == 1) {
    return make_single_communicator();
  }
  check_cuda(cudaSetDevice(start.device), "cudaSetDevice");
  check_own_gpu_each(start);
  return make_gpu_communicator(std::move(start));
}

std::shared_ptr<NcclGroup> connect_nccl(const NcclStart& start) {
  // NVLink multicast makes neither gathers nor sends faster, and a process that is killed while it uses it
  // can put all GPUs of a host out of service.
  setenv("NCCL_NVLS_ENABLE", "0", 0);
  check_cuda(cudaSetDevice(start.device), "cudaSetDevice");
  const std::vector<ncclUniqueId> ids = exchange_ids(*start.cpu);
  auto group = std::make_shared<std::shared_ptr<NcclGroup>>();
  const std::vector<Peer>& peers = start.peers;
  RankActivity* activity = start.activity();
  const PeerWait wait(activity == nullptr ? nullptr : &activity->main, "all ranks: NCCL's start");
  run_with_deadline(
      [group, ids, peers, rank = start.cpu->rank(), device = start.device] {
        *group = std::make_shared<NcclGroup>(ids, peers, rank, device);
      },
      patience(activity, std::max(start.deadline, kShortestStart)),
      "NCCL's start on " + name_of(peers[static_cast<size_t>(start.cpu->rank())]));
  return std::move(*group);
}

}  // namespace latentcast

extern "C" latentcast::Communicator* latentcast_make_nccl_communicator(latentcast::NcclStart* start) {
  return latentcast::start_gpu_group(std::move(*start)).release();
}
