#include "ipc_post.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include "copied.h"
#include "ipc_agreement.h"
#include "wait.h"
#include <ATen/ATen.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

constexpr std::chrono::seconds kEndDeadline(10);

/// Values as bytes of a CPU tensor.
template <typename Values>
at::Tensor as_tensor(const Values& values) {
  const at::Tensor bytes = at::empty({static_cast<int64_t>(sizeof values)}, at::kByte);
  std::memcpy(bytes.data_ptr(), &values, sizeof values);
  return bytes;
}

at::Tensor room_for_reply() { return at::zeros({1}, at::kByte); }

}  // namespace

/// What a rank opens to another one at the start.
struct IpcPost::Welcome {
  cudaIpcEventHandle_t filled[kSlots];   ///< of its slots for the other
  cudaIpcEventHandle_t fetched[kSlots];  ///< of the other's slots for it
  cudaIpcMemHandle_t memory;             ///< of its first slot
};

/// What a sender says: the slot is filled once its event is reached.
struct IpcPost::Note {
  int64_t bytes;
  int32_t slot;
  int32_t version;  ///< of the slot's memory
  cudaIpcMemHandle_t memory;
};

/// Of this rank for a peer.
struct IpcPost::Slot {
  std::unique_ptr<SharedMemory> memory;
  int32_t version = 0;
  cudaIpcMemHandle_t handle = {};
  std::unique_ptr<SharedEvent> filled, fetched;  ///< ours; the peer's
  int64_t bytes = 0;                             ///< of the last message
  at::Tensor reply_room;
  std::unique_ptr<Transfer> note, reply;  ///< of the last message; null before the first
};

/// A peer's for this rank.
struct IpcPost::OpenSlot {
  std::vector<std::unique_ptr<OpenMemory>> memory;  ///< the last one counts; others may still be read
  int32_t version = 0;
  std::unique_ptr<SharedEvent> filled, fetched;  ///< the peer's; ours
  std::unique_ptr<Transfer> reply;               ///< to the last message
};

/// A receive under way.
struct IpcPost::Parcel {
  Parcel(const at::Tensor& to, cudaStream_t stream) : tensor(to), room(stream) {}
  at::Tensor tensor;
  CudaEvent room;  ///< what the tensor's memory was used for before
  at::Tensor note_bytes = at::empty({static_cast<int64_t>(sizeof(Note))}, at::kByte);
  std::unique_ptr<Transfer> note;
  std::shared_ptr<CudaEvent> end;  ///< once it is being fetched
};

class IpcPost::Received final : public Transfer {
 public:
  Received(IpcPost& post, std::shared_ptr<Parcel> parcel, int from)
      : post_(post), parcel_(std::move(parcel)), from_(from) {}
  bool test() override {
    post_.fetch_what_has_come();
    return parcel_->end && parcel_->end->done();
  }
  void finish() override {
    const auto bytes = static_cast<int64_t>(parcel_->tensor.nbytes());
    post_.wait({"receive", bytes, from_}, [this] { return parcel_->end != nullptr; });
    parcel_->end->let_wait(c10::cuda::getCurrentCUDAStream(post_.device_));
  }

 private:
  IpcPost& post_;
  std::shared_ptr<Parcel> parcel_;
  int from_;
};

std::unique_ptr<IpcPost> IpcPost::open(Communicator& cpu, const std::vector<Peer>& peers, int device,
                                       std::chrono::nanoseconds deadline, NoteTransfer note,
                                       std::string& refusal) {
  if (!on_one_host(peers)) {
    refusal = "the ranks are on several hosts";
    return nullptr;
  }
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
  std::unique_ptr<IpcPost> post(new IpcPost(cpu, peers, device, deadline, std::move(note)));
  std::string own;
  const std::string not_made = refusal_of([&] { own = post->make_slots(); });
  refusal = first_refusal(cpu, peers, not_made);
  if (refusal.empty()) {
    const std::vector<std::string> welcomes = gather_strings(cpu, own);
    const std::string not_opened = refusal_of([&] { post->open_slots(welcomes); });
    refusal = first_refusal(cpu, peers, not_opened);
  }
  if (!refusal.empty()) {
    static_cast<void>(cudaGetLastError());  // or the next check of somebody else finds it
    return nullptr;
  }
  return post;
}

IpcPost::IpcPost(Communicator& cpu, std::vector<Peer> peers, int device, std::chrono::nanoseconds deadline,
                 NoteTransfer note)
    : cpu_(cpu),
      peers_(std::move(peers)),
      device_(static_cast<c10::DeviceIndex>(device)),
      deadline_(deadline),
      note_(std::move(note)),
      notes_(cpu.split(0)),
      replies_(cpu.split(0)),
      sent_(peers_.size(), 0),
      coming_(peers_.size()) {
  for (size_t i = 0; i < peers_.size(); ++i) {
    out_.emplace_back(kSlots);
    in_.emplace_back(kSlots);
    streams_.push_back(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device_));
  }
}

/// Our half of all events, and a first slot for each peer, whose opening shows whether memory can be opened.
/// Returns a Welcome for each peer, one behind the other.
std::string IpcPost::make_slots() {
  std::vector<Welcome> welcomes(peers_.size());
  for (size_t peer = 0; peer < peers_.size(); ++peer) {
    if (static_cast<int>(peer) == cpu_.rank()) {
      continue;
    }
    for (size_t i = 0; i < kSlots; ++i) {
      out_[peer][i].filled = std::make_unique<SharedEvent>();
      in_[peer][i].fetched = std::make_unique<SharedEvent>();
      welcomes[peer].filled[i] = out_[peer][i].filled->handle();
      welcomes[peer].fetched[i] = in_[peer][i].fetched->handle();
    }
    make_room(out_[peer].front(), 1);
    welcomes[peer].memory = out_[peer].front().handle;
  }
  return {reinterpret_cast<const char*>(welcomes.data()), welcomes.size() * sizeof(Welcome)};
}

/// The other half: what every rank's string has for this one.
void IpcPost::open_slots(const std::vector<std::string>& welcomes) {
  for (size_t peer = 0; peer < peers_.size(); ++peer) {
    if (static_cast<int>(peer) == cpu_.rank()) {
      continue;
    }
    Welcome welcome;
    std::memcpy(&welcome, welcomes[peer].data() + static_cast<size_t>(cpu_.rank()) * sizeof welcome,
                sizeof welcome);
    for (size_t i = 0; i < kSlots; ++i) {
      in_[peer][i].filled = std::make_unique<SharedEvent>(welcome.filled[i]);
      out_[peer][i].fetched = std::make_unique<SharedEvent>(welcome.fetched[i]);
    }
    in_[peer].front().memory.push_back(std::make_unique<OpenMemory>(welcome.memory));
    in_[peer].front().version = 1;
  }
}

IpcPost::~IpcPost() {
  // While an exception is on its way, the others may never come; the program's end will tell them.
  if (std::uncaught_exceptions() > exceptions_) {
    return;
  }
  try {
    close();
  } catch (const std::exception&) {
    // The GPU or a rank has failed, which is noticed by whoever still needs it.
  }
}

/// First what is others', then, when no rank has ours open any more, our own.
void IpcPost::close() {
  const c10::cuda::CUDAGuard guard(device_);
  const auto idle = [this] {
    return std::all_of(streams_.begin(), streams_.end(), [](const auto& stream) { return stream.query(); });
  };
  wait_until(idle, kEndDeadline);
  for (size_t peer = 0; peer < peers_.size(); ++peer) {
    for (size_t i = 0; i < kSlots; ++i) {
      in_[peer][i].memory.clear();
      in_[peer][i].filled = nullptr;
      out_[peer][i].fetched = nullptr;
    }
  }
  const at::Tensor all = at::empty({cpu_.size()}, at::kByte);
  const std::unique_ptr<Transfer> closed = cpu_.launch_all_gather(at::zeros({1}, at::kByte), all);
  const PeerWait noted(cpu_.activity() == nullptr ? nullptr : &cpu_.activity()->main,
                       "the other ranks: closing memory");
  wait_until([&] { return closed->test(); }, kEndDeadline);
}

std::unique_ptr<Transfer> IpcPost::send(const at::Tensor& tensor, int to) {
  const c10::cuda::CUDAGuard guard(device_);
  const c10::cuda::CUDAStream stream = c10::cuda::getCurrentCUDAStream(device_);
  const uint64_t number = sent_[static_cast<size_t>(to)]++ % kSlots;
  Slot& slot = out_[static_cast<size_t>(to)][number];
  if (slot.reply) {
    await_reply(slot, to);
    slot.fetched->let_wait(stream);
  }
  make_room(slot, tensor.nbytes());
  slot.bytes = static_cast<int64_t>(tensor.nbytes());
  if (slot.bytes > 0) {
    check_cuda(
        cudaMemcpyAsync(slot.memory->get(), tensor.data_ptr(), tensor.nbytes(), cudaMemcpyDefault, stream),
        "cudaMemcpyAsync");
    // Its memory may be given to others only when this stream is done with it.
    allocator::recordStream(tensor.storage().data_ptr(), stream);
  }
  slot.filled->record(stream);
  const Note note = {slot.bytes, static_cast<int32_t>(number), slot.version, slot.handle};
  slot.reply_room = room_for_reply();
  slot.reply = replies_->launch_receive(slot.reply_room, to);
  slot.note = notes_->launch_send(as_tensor(note), to);
  fetch_what_has_come();
  return std::make_unique<Copied>(device_, stream);
}

/// Until the peer's host has launched the fetching of the slot's last message.
void IpcPost::await_reply(Slot& slot, int to) {
  wait({"send", slot.bytes, to}, [&] { return slot.note->test() && slot.reply->test(); });
}

/// A slot's memory is never freed while the peer may have it open: what is outgrown stays to the end.
void IpcPost::make_room(Slot& slot, size_t bytes) {
  if (slot.memory && slot.memory->size() >= bytes) {
    return;
  }
  auto memory = std::make_unique<SharedMemory>(bytes);
  slot.handle = memory->handle();
  if (slot.memory) {
    outgrown_.push_back(std::move(*slot.memory));
  }
  slot.memory = std::move(memory);
  ++slot.version;
}

std::unique_ptr<Transfer> IpcPost::receive(const at::Tensor& tensor, int from) {
  const c10::cuda::CUDAGuard guard(device_);
  auto parcel = std::make_shared<Parcel>(tensor, c10::cuda::getCurrentCUDAStream(device_));
  parcel->note = notes_->launch_receive(parcel->note_bytes, from);
  coming_[static_cast<size_t>(from)].push_back(parcel);
  fetch_what_has_come();
  return std::make_unique<Received>(*this, std::move(parcel), from);
}

void IpcPost::fetch_what_has_come() {
  for (size_t from = 0; from < coming_.size(); ++from) {
    std::deque<std::shared_ptr<Parcel>>& parcels = coming_[from];
    while (!parcels.empty() && parcels.front()->note->test()) {
      fetch(static_cast<int>(from), *parcels.front());
      parcels.pop_front();
    }
  }
}

void IpcPost::fetch(int from, Parcel& parcel) {
  const c10::cuda::CUDAGuard guard(device_);
  Note note;
  std::memcpy(&note, parcel.note_bytes.data_ptr(), sizeof note);
  const auto bytes = static_cast<int64_t>(parcel.tensor.nbytes());
  if (note.bytes != bytes) {
    throw InternalError("a receive of " + std::to_string(bytes) + " bytes from " +
                        name_of(peers_[static_cast<size_t>(from)]) + " brought " +
                        std::to_string(note.bytes));
  }
  OpenSlot& slot = in_[static_cast<size_t>(from)][static_cast<size_t>(note.slot)];
  const void* memory = slot_memory(slot, note);
  const c10::cuda::CUDAStream stream = streams_[static_cast<size_t>(from)];
  parcel.room.let_wait(stream);
  slot.filled->let_wait(stream);
  if (bytes > 0) {
    check_cuda(
        cudaMemcpyAsync(parcel.tensor.data_ptr(), memory, parcel.tensor.nbytes(), cudaMemcpyDefault, stream),
        "cudaMemcpyAsync");
    // Its memory may be given to others only when this stream is done with it.
    allocator::recordStream(parcel.tensor.storage().data_ptr(), stream);
  }
  slot.fetched->record(stream);
  parcel.end = std::make_shared<CudaEvent>(stream);
  note_({"receive", note.bytes, from}, parcel.end);
  if (slot.reply) {
    slot.reply->finish();  // long since: the peer has sent the slot's next message
  }
  slot.reply = replies_->launch_send(room_for_reply(), from);
}

const void* IpcPost::slot_memory(OpenSlot& slot, const Note& note) {
  if (slot.version != note.version) {
    slot.memory.push_back(std::make_unique<OpenMemory>(note.memory));
    slot.version = note.version;
  }
  return slot.memory.back()->get();
}

template <typename Done>
void IpcPost::wait(const Operation& operation, const Done& done) {
  const auto come = [&] {
    fetch_what_has_come();
    return done();
  };
  if (come()) {
    return;
  }
  RankActivity* activity = cpu_.activity();
  const PeerWait noted(activity == nullptr ? nullptr : &activity->main,
                       wait_text(operation, peers_, cpu_.rank()));
  const Waited waited = wait_until(come, patience(activity, deadline_));
  if (!waited.done) {
    throw no_answer(operation, peers_, cpu_.rank(), waited.seconds);
  }
}

}  // namespace latentcast
