#include "ipc_shares.h"

#include <charconv>
#include <exception>
#include <optional>
#include <utility>

#include "copied.h"
#include "cuda_handles.h"
#include "ipc_agreement.h"
#include "wait.h"
#include <ATen/ATen.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

constexpr std::chrono::seconds kEndDeadline(10);

/// Where a rank's share is, in this process.
struct OpenShare {
  std::shared_ptr<void> memory;  ///< the allocation it lies in; closed with the last copy; none for our own
  const char* begin = nullptr;
};

class IpcShares final : public PeerShares {
 public:
  IpcShares(Communicator& cpu, c10::DeviceIndex device, const at::Tensor& share,
            std::vector<OpenShare> shares)
      : cpu_(cpu),
        device_(device),
        share_(share),
        shares_(std::move(shares)),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device)) {}
  ~IpcShares() override;
  IpcShares(const IpcShares&) = delete;
  IpcShares& operator=(const IpcShares&) = delete;

  using PeerShares::launch_gather;
  std::unique_ptr<Transfer> launch_gather(int64_t begin, int64_t count, const at::Tensor& all,
                                          OwnPart own) override;
  bool is_collective() const override { return false; }
  std::string way() const override { return "copy engines"; }
  int64_t bytes_gathered() const override { return bytes_gathered_; }

 private:
  void copy(int rank, int64_t begin, int64_t first, int64_t n, int64_t count, const at::Tensor& all);
  void wait_for_others_to_close();

  Communicator& cpu_;
  c10::DeviceIndex device_;
  at::Tensor share_;
  std::vector<OpenShare> shares_;
  c10::cuda::CUDAStream stream_;  ///< lasts as long as LibTorch, whose memory may be waiting for it
  int64_t bytes_gathered_ = 0;
  int exceptions_ = std::uncaught_exceptions();
};

std::unique_ptr<Transfer> IpcShares::launch_gather(int64_t begin, int64_t count, const at::Tensor& all,
                                                   OwnPart own) {
  if (begin < 0 || count < 1 || begin + count > share_.numel() || all.numel() != count * cpu_.size() ||
      own.head < 0 || own.tail < 0 || own.head + own.tail > count ||
      all.scalar_type() != share_.scalar_type() || !all.is_contiguous() || all.device() != share_.device()) {
    throw InternalError("a gather of " + std::to_string(count) + " values at " + std::to_string(begin) +
                        " doesn't fit the shares or what it is to be gathered into");
  }
  const c10::cuda::CUDAGuard guard(device_);
  // Behind the last use of `all`.
  CudaEvent(c10::cuda::getCurrentCUDAStream(device_)).let_wait(stream_);
  // Each begins with the rank behind it, or all would read from the same one at once.
  for (int i = 1; i < cpu_.size(); ++i) {
    copy((cpu_.rank() + i) % cpu_.size(), begin, 0, count, count, all);
  }
  // Within a GPU, CUDA copies by a kernel, which for its time takes all of the GPU's memory traffic.
  copy(cpu_.rank(), begin, 0, own.head, count, all);
  copy(cpu_.rank(), begin, count - own.tail, own.tail, count, all);
  // Its memory may be given to others only when this stream is done with it.
  allocator::recordStream(all.storage().data_ptr(), stream_);
  bytes_gathered_ += count * (cpu_.size() - 1) * static_cast<int64_t>(share_.element_size());
  return std::make_unique<Copied>(device_, stream_);
}

/// `n` elements from `first` on of a rank's part, which has `count`, to their place in `all`.
void IpcShares::copy(int rank, int64_t begin, int64_t first, int64_t n, int64_t count,
                     const at::Tensor& all) {
  const auto item = static_cast<int64_t>(share_.element_size());
  if (n > 0) {
    check_cuda(cudaMemcpyAsync(static_cast<char*>(all.data_ptr()) + (rank * count + first) * item,
                               shares_[static_cast<size_t>(rank)].begin + (begin + first) * item,
                               static_cast<size_t>(n * item), cudaMemcpyDefault, stream_),
               "cudaMemcpyAsync");
  }
}

IpcShares::~IpcShares() {
  // While an exception is on its way, the others may never come; the program's end will tell them.
  if (std::uncaught_exceptions() > exceptions_) {
    return;
  }
  try {
    const c10::cuda::CUDAGuard guard(device_);
    wait_until([this] { return stream_.query(); }, kEndDeadline);
    shares_.clear();
    wait_for_others_to_close();
  } catch (const std::exception&) {
    // The GPU or a rank has failed, which is noticed by whoever still needs it.
  }
}

void IpcShares::wait_for_others_to_close() {
  const at::Tensor all = at::empty({cpu_.size()}, at::kByte);
  const std::unique_ptr<Transfer> closed = cpu_.launch_all_gather(at::zeros({1}, at::kByte), all);
  const PeerWait wait(cpu_.activity() == nullptr ? nullptr : &cpu_.activity()->main,
                      "the other ranks: closing shares");
  wait_until([&] { return closed->test(); }, kEndDeadline);
}

/// Offset and handle in one string.
std::string pack(const allocator::ShareableHandle& handle) {
  return std::to_string(handle.offset) + " " + handle.handle;
}

OpenShare open(const std::string& packed) {
  const size_t blank = packed.find(' ');
  int64_t offset = 0;
  std::from_chars(packed.data(), packed.data() + blank, offset);
  OpenShare share;
  share.memory = allocator::getIpcDevPtr(packed.substr(blank + 1));
  share.begin = static_cast<const char*>(share.memory.get()) + offset;
  return share;
}

}  // namespace

std::unique_ptr<PeerShares> open_peer_shares(Communicator& cpu, const std::vector<Peer>& peers, int device,
                                             const at::Tensor& share, std::string& refusal) {
  if (!on_one_host(peers)) {
    refusal = "the ranks are on several hosts";
    return nullptr;
  }
  const auto index = static_cast<c10::DeviceIndex>(device);
  const c10::cuda::CUDAGuard guard(index);
  std::string own;
  const std::string not_given = refusal_of([&] {
    own = pack(allocator::shareIpcHandle(share.data_ptr()));
    // What the share was given is there before anybody reads it.
    check_cuda(cudaStreamSynchronize(c10::cuda::getCurrentCUDAStream(index)), "cudaStreamSynchronize");
  });
  refusal = first_refusal(cpu, peers, not_given);
  if (!refusal.empty()) {
    return nullptr;
  }
  const std::vector<std::string> handles = gather_strings(cpu, own);
  std::vector<OpenShare> shares(handles.size());
  const std::string not_opened = refusal_of([&] {
    for (size_t i = 0; i < handles.size(); ++i) {
      shares[i] = static_cast<int>(i) == cpu.rank()
                      ? OpenShare{nullptr, static_cast<const char*>(share.data_ptr())}
                      : open(handles[i]);
    }
  });
  refusal = first_refusal(cpu, peers, not_opened);
  if (!refusal.empty()) {
    static_cast<void>(cudaGetLastError());  // or the next check of somebody else finds it
    return nullptr;
  }
  return std::make_unique<IpcShares>(cpu, index, share, std::move(shares));
}

}  // namespace latentcast
