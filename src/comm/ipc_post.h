#pragma once

#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ipc_slots.h"
#include "peer.h"
#include <c10/cuda/CUDAStream.h>

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// Sends and receives among GPUs of one host, without kernels: the sender copies a tensor into one of its
/// slots, tells the peer's host by a note, and the peer's copy engine fetches it. NCCL's kernel of a send or
/// receive whose peer hasn't come takes a multiprocessor from the computing until it comes; here nothing of
/// the GPU's waits for anything that hasn't been launched. The host waits instead: in finish() of a receive
/// until the peer's host has launched the send, and in a send while all slots are full; meanwhile it fetches
/// what has come. Notes and replies go over MPI, one thread at a time.
///
/// A slot is filled behind the event `fetched` of its last message, and fetched behind the event `filled` of
/// this one. An event is recorded, then a note or reply tells the peer, then it waits for the event: so it
/// never waits for an older or a newer record than the one it was told of.
class IpcPost {
 public:
  /// Told of what the GPU waits for.
  using NoteTransfer = std::function<void(const Operation&, std::shared_ptr<CudaEvent> end)>;

  /// Collective over `cpu`, which outlives the result. nullptr, on all ranks, if one can't open another's
  /// memory and events; says why in `refusal`.
  static std::unique_ptr<IpcPost> open(Communicator& cpu, const std::vector<Peer>& peers, int device,
                                       std::chrono::nanoseconds deadline, NoteTransfer note,
                                       std::string& refusal);
  /// Collective: waits for all ranks to close what they opened, ten seconds at most; while an exception is on
  /// its way, for nobody.
  ~IpcPost();
  IpcPost(const IpcPost&) = delete;
  IpcPost& operator=(const IpcPost&) = delete;

  std::unique_ptr<Transfer> send(const at::Tensor& tensor, int to);
  std::unique_ptr<Transfer> receive(const at::Tensor& tensor, int from);
  /// Fetches what peers have sent meanwhile; never waits. For whoever waits for other things: a peer may be
  /// waiting for a free slot.
  void fetch_what_has_come();

 private:
  static constexpr size_t kSlots = 4;

  struct Welcome;
  struct Note;
  struct Slot;
  struct OpenSlot;
  struct Parcel;
  class Received;

  IpcPost(Communicator& cpu, std::vector<Peer> peers, int device, std::chrono::nanoseconds deadline,
          NoteTransfer note);
  std::string make_slots();
  void open_slots(const std::vector<std::string>& welcomes);
  void await_reply(Slot& slot, int to);
  void make_room(Slot& slot, size_t bytes);
  void fetch(int from, Parcel& parcel);
  const void* slot_memory(OpenSlot& slot, const Note& note);
  /// Waits for `done`, fetching meanwhile. Throws as Transfer::finish() does.
  template <typename Done>
  void wait(const Operation& operation, const Done& done);
  void close();

  Communicator& cpu_;
  std::vector<Peer> peers_;
  c10::DeviceIndex device_;
  std::chrono::nanoseconds deadline_;
  NoteTransfer note_;
  std::unique_ptr<Communicator> notes_, replies_;
  std::vector<std::vector<Slot>> out_;                       ///< for each peer
  std::vector<std::vector<OpenSlot>> in_;                    ///< of each peer for us
  std::vector<uint64_t> sent_;                               ///< to each peer
  std::vector<std::deque<std::shared_ptr<Parcel>>> coming_;  ///< from each peer, not fetched
  std::vector<SharedMemory> outgrown_;                       ///< that others may have open
  std::vector<c10::cuda::CUDAStream> streams_;               ///< that fetch from each peer
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace latentcast
