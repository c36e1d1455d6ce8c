#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/comm/activity.h"
#include "latentcast/comm/peer_shares.h"
#include "latentcast/error.h"

namespace latentcast {

/// An operation under way. Tensors that were given to it must not be touched until it is finished.
class [[nodiscard]] Transfer {
 public:
  virtual ~Transfer() = default;
  /// Whether it is done; never waits.
  virtual bool test() = 0;
  /// Waits, sleeping in between, until it is done. On a GPU: makes the current stream wait; the host at
  /// most until the peer has launched its part.
  /// Throws PeerFailure naming the peer if the communicator's deadline passes without the operation's end;
  /// while a watchdog watches the ranks, waits for as long as it lets them.
  virtual void finish() = 0;
};

/// A tensor that goes to a rank, or comes from it.
struct Message {
  at::Tensor tensor;
  int peer = 0;
};

/// What moves tensors between two ranks of a group.
struct Carrier {
  std::string way;      ///< "copy engines", "nccl", "mpi"; empty: nothing to move, or nobody asks
  std::string refusal;  ///< why not copy engines, if they were wanted
  bool nccl = false;    ///< NCCL has connected the ranks and has its buffers
};

/// Whether GPUs of one host fetch by copy engines what others send them, if they can, or NCCL moves it
/// anyway.
enum class SendWay { kAuto, kNccl };

/// Transfers of an exchange, in the order of its messages.
struct Exchange {
  std::vector<std::unique_ptr<Transfer>> sends, receives;
};

/// Moves tensors between the ranks of a group. Tensors are contiguous, on the communicator's device, and both
/// sides know shape and type. Transfers between a pair of ranks, and collectives of a group, are matched in
/// the order in which they are launched. A rank never sends to itself. One thread at a time. Failures of the
/// transport are InternalErrors.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Afterwards `to` has the tensor's values.
  virtual std::unique_ptr<Transfer> launch_send(const at::Tensor& tensor, int to) = 0;
  /// Afterwards `tensor` has what `from` sent.
  virtual std::unique_ptr<Transfer> launch_receive(const at::Tensor& tensor, int from) = 0;
  /// Launches several sends and receives as one: whatever the launching of one of them waits for, the others
  /// are under way. Ranks that send to each other in the same step must launch both this way.
  virtual Exchange launch_exchange(const std::vector<Message>& sends, const std::vector<Message>& receives);
  /// Afterwards every rank's `all` [size · n] has the ranks' `part` [n] in their order.
  virtual std::unique_ptr<Transfer> launch_all_gather(const at::Tensor& part, const at::Tensor& all) = 0;

  /// Opens a tensor of each rank, of the same size and type, to the others: it must stay as it is for the
  /// result's life. Collective.
  virtual std::unique_ptr<PeerShares> publish(const at::Tensor& share, GatherWay way);

  /// Afterwards every rank has `root`'s values in `tensor`.
  virtual void broadcast(const at::Tensor& tensor, int root) = 0;
  /// Returns when every rank has called it.
  virtual void barrier() = 0;
  /// A group of the ranks that give the same `color` (≥ 0), ordered by rank; collective over this group.
  /// Ranks that give −1 get nullptr.
  virtual std::unique_ptr<Communicator> split(int color) = 0;

  /// Bytes that all-gathers have brought to this rank from others, and bytes that it has sent to single
  /// ranks; counted at launch, for this group alone (not for those split from it).
  virtual int64_t bytes_gathered() const = 0;
  virtual int64_t bytes_sent() const = 0;

  /// Of this rank, where waits are noted; null if nobody keeps one.
  virtual RankActivity* activity() const { return nullptr; }

  virtual Carrier carrier() const { return {}; }

  void send(const at::Tensor& tensor, int to) { launch_send(tensor, to)->finish(); }
  void receive(const at::Tensor& tensor, int from) { launch_receive(tensor, from)->finish(); }
  void all_gather(const at::Tensor& part, const at::Tensor& all) { launch_all_gather(part, all)->finish(); }
};

/// Where this process stands among those that mpirun or srun started; without them, alone.
struct World {
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  ///< among the ranks of this host
  std::string host;
};

/// Owner of MPI for the process's life: starts it if a launcher started the process (and MPI is not up), else
/// stays alone. Made once, in main, before any thread. Lives longer than every communicator. Errors of a run
/// of several ranks are to be caught during its life and, unless all ranks agreed on them, ended with fail().
/// It ends MPI only if it isn't left by an exception.
class MpiSession {
 public:
  /// Tells the user why all ranks are ended; from any thread, once at most.
  using Speaker = std::function<void(const std::string& message)>;

  /// Throws InputError if srun started several tasks without the PMIx that MPI needs. If the other ranks have
  /// not started MPI within `start_limit`, tells the user and ends the process with 70. From now on the
  /// process leaves no core.
  MpiSession(int* argc, char*** argv, Speaker speaker = {},
             std::chrono::seconds start_limit = std::chrono::seconds(300));
  /// A watched session waits for the other ranks' sessions.
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  const World& world() const { return world_; }
  /// What this rank does: to be kept up to date by all that takes long.
  RankActivity& activity() const;

  /// From now on, till the session's end, a rank that is silent or makes no progress for `timeout` ends all
  /// ranks within some seconds more: one of the others tells the user who it was. If this rank was asked to
  /// stop (RankActivity::set_stop_sign()), ten seconds of silence are enough. Without other ranks does
  /// nothing. At most once.
  void watch(std::chrono::seconds timeout) const;

  /// All ranks, for CPU tensors and small messages. `deadline`: longest wait for a peer while nobody watches.
  /// Collective. Each is apart from the others: messages of one are never taken for those of another.
  std::unique_ptr<Communicator> cpu_communicator(std::chrono::seconds deadline) const;

  /// Strings of all ranks, in their order, on every rank. Collective, main thread only.
  std::vector<std::string> gather_strings(const std::string& own) const;

  /// Ends all ranks because of an exception of this rank's own, with its exit code; the speaker names the
  /// rank and says what it was doing. Call it where the exception is caught, before objects are destroyed
  /// that may wait for others. From any thread; if several call it, the first counts.
  [[noreturn]] void fail(const std::exception_ptr& error) const noexcept;

  /// Ends all ranks at once with this exit code, and says nothing.
  [[noreturn]] void abort(int code) const noexcept;

  /// Something that helps others if it is done before abort() leaves; it runs in a thread of its own, for a
  /// few seconds at most.
  void at_abort(std::function<void()> action) const;

 private:
  struct Parts;
  [[noreturn]] void give_up_start(std::chrono::seconds limit) const noexcept;
  [[noreturn]] void end_all(int code, const std::string& message) const noexcept;
  void run_abort_actions() const noexcept;

  World world_;
  bool started_ = false;   ///< by a launcher
  bool ends_mpi_ = false;  ///< it was not up before
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<Communicator> own_;  ///< for gather_strings()
};

/// What a rank does where its error, unless all agreed on it, is its own: if there are other ranks, it ends
/// all of them (MpiSession::fail()), before anything outside of `work` is destroyed.
template <typename Work>
void run_alone(const MpiSession& mpi, Work&& work) {
  if (mpi.world().size == 1) {
    std::forward<Work>(work)();
    return;
  }
  try {
    std::forward<Work>(work)();
  } catch (const AgreedError&) {
    throw;
  } catch (...) {
    mpi.fail(std::current_exception());
  }
}

/// Strings of the group's ranks, in their order, on every rank. A communicator for CPU tensors.
std::vector<std::string> gather_strings(Communicator& cpu, const std::string& own);

/// A group of one rank, for any device, without MPI.
std::unique_ptr<Communicator> make_single_communicator();

/// All ranks, for CUDA tensors: by copy engines what goes between two GPUs of one host that reach one
/// another's memory, the rest over NCCL, which connects the ranks at the first operation that needs it. Loads
/// liblatentcast_cuda.so, which holds everything that needs CUDA's libraries. Collective; select_device()
/// comes first. Among GPUs of one host that reach one another's memory the host waits in finish() of a
/// receive until the peer has launched its send, and in a send until the peer has launched the receive of the
/// fourth before. Besides that the host never waits in launch_…() and finish(), so a peer's silence may show
/// in barrier() only; call that also before the communicator goes. Throws InternalError if the library or
/// NCCL can't be used, InputError if two ranks have the same GPU.
std::unique_ptr<Communicator> make_nccl_communicator(const MpiSession& mpi, int device,
                                                     std::chrono::seconds deadline,
                                                     SendWay way = SendWay::kAuto);

/// The GPU that a rank takes: the only one it sees, or the one of its local rank. Throws InputError if there
/// are fewer visible GPUs than ranks on the host.
int device_of_rank(const World& world, int visible_gpus);

}  // namespace latentcast
