#include "rank_saver.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/progress/checkpoint_writer.h"

namespace latentcast {
namespace {

constexpr int64_t kLeastWaiting = 256 << 20;        // enough to keep a disk busy
constexpr int64_t kDecoderRoom = int64_t{3} << 29;  // its state at 704x384; a larger one waits for the disk
constexpr int64_t kBlocksReplayed = 12;

std::string text_of(const at::Tensor& bytes) {
  return {static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(bytes.numel())};
}

at::Tensor bytes_of(const std::string& text) {
  at::Tensor bytes = at::empty({static_cast<int64_t>(text.size())}, at::kByte);
  std::copy(text.begin(), text.end(), static_cast<char*>(bytes.data_ptr()));
  return bytes;
}

/// The system and the files' pages need some memory too.
RankSaver::Settings with_host_bytes(RankSaver::Settings settings, const RankSetup& setup) {
  if (settings.host_bytes == 0) {
    settings.host_bytes = std::max(kLeastWaiting, available_host_bytes() / 2 / setup.ranks_on_host);
  }
  return settings;
}

}  // namespace

std::string cache_name(const CachedRows& rows) {
  constexpr const char* kNames[] = {"key", "value", "key-scale", "value-scale", "packed"};
  char name[48];
  std::snprintf(name, sizeof name, "layer-%03lld/%s", static_cast<long long>(rows.layer),
                kNames[static_cast<size_t>(rows.what)]);
  return name;
}

std::string causal_name(size_t index) {
  char name[32];
  std::snprintf(name, sizeof name, "cache-%03zu", index);
  return name;
}

std::string block_name(int64_t block) {
  char name[32];
  std::snprintf(name, sizeof name, "block-%06lld", static_cast<long long>(block));
  return name;
}

int64_t clips_replayed(int64_t blocks_per_clip) {
  return (kBlocksReplayed + blocks_per_clip - 1) / blocks_per_clip;
}

RankSaver::RankSaver(const RankSetup& setup, Settings settings, std::unique_ptr<Communicator> links)
    : setup_(setup),
      paths_(setup.job),
      light_(setup.job.checkpoint == "light"),
      wants_block_(!light_ && (setup.device.is_cuda() || settings.host_bytes > 0)),
      settings_(with_host_bytes(std::move(settings), setup)),
      links_(std::move(links)),
      copies_(setup.device),
      queue_(paths_, settings_.host_bytes) {}

RankSaver::~RankSaver() = default;

void RankSaver::prepare(const DenoiseStage& stage, HostPieces* pieces) {
  if (pieces != nullptr && !light_) {
    prepare_spares(stage, *pieces);
  }
  if (!wants_block_) {
    return;
  }
  int64_t bytes = 0;
  for (const CachedRows& cached : stage.caches_after_clip()) {
    for (const at::Tensor& part : cached.parts) {
      bytes += cached.lasting ? 0 : static_cast<int64_t>(part.nbytes());
    }
  }
  copies_.prepare(bytes + (setup_.layout.decodes(setup_.rank) ? kDecoderRoom : 0), settings_.host_bytes);
}

/// While a checkpoint is written, what computing writes to the caches goes to other pieces.
void RankSaver::prepare_spares(const DenoiseStage& stage, HostPieces& pieces) {
  for (const CachedRows& cached : stage.caches_after_clip()) {
    if (cached.lasting) {
      spare_pieces_ += std::ssize(cached.parts);
      spare_bytes_ = static_cast<int64_t>(cached.parts.front().nbytes());
    }
  }
  if (spare_pieces_ > 0) {
    pieces_ = &pieces;
    const int64_t room = available_host_bytes() / 2 / setup_.ranks_on_host / spare_bytes_;
    pieces.reserve_beside(spare_bytes_, std::clamp<int64_t>(room, 1, spare_pieces_));
  }
}

void RankSaver::save(int64_t position, const RankState& state) {
  finish();
  if (setup_.is_root()) {
    begin_checkpoint(paths_, position);
  }
  links_->barrier();  // the folder is there
  position_ = position;
  entries_sent_ = false;
  video_ = state.video;
  tell_shortage();
  if (light_) {
    write_history(state);
  } else {
    if (state.stage != nullptr) {
      write_stage(*state.stage);
    }
    if (state.decoder != nullptr) {
      write_decoder(*state.decoder);
    }
  }
  if (setup_.is_root()) {
    open(CheckpointPart::render());
    add("first_latent", state.first_latent);
    manifest_ = {};
    for (int rank = 1; rank < links_->size(); ++rank) {
      Incoming incoming{at::zeros({1}, at::kLong), {}, nullptr, nullptr};
      incoming.length_transfer = links_->launch_receive(incoming.length, rank);
      incoming_.push_back(std::move(incoming));
    }
  }
  hand_over();
  queue_.close();
}

void RankSaver::tell_shortage() {
  if (std::exchange(told_, true) || !settings_.note) {
    return;
  }
  if (const std::string shortage = copies_.shortage(); !shortage.empty()) {
    settings_.note("rank " + std::to_string(setup_.rank) + ": " + shortage);
  }
  if (const int64_t spares = pieces_ != nullptr ? pieces_->reserved_beside() : 0; spares < spare_pieces_) {
    settings_.note("rank " + std::to_string(setup_.rank) + ": the host has room for " +
                   std::to_string(spares * spare_bytes_ / 1000000) + " MB of the " +
                   std::to_string(spare_pieces_ * spare_bytes_ / 1000000) +
                   " MB that a checkpoint's caches take while they are written: computing waits for the disk "
                   "meanwhile; give the job more memory, or use --checkpoint light");
  }
}

void RankSaver::open(const CheckpointPart& part) {
  under_way_.emplace_back([this, part, position = *position_] { queue_.open(position, part); });
}

void RankSaver::add(const std::string& name, const at::Tensor& tensor) {
  under_way_.emplace_back([this, name, copy = copied(tensor)] { queue_.add(name, copy); });
}

void RankSaver::add_cache(const CachedRows& rows) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& part : rows.parts) parts.push_back(rows.lasting ? part : copied(part));
  under_way_.emplace_back([this, name = cache_name(rows), parts = std::move(parts)]() mutable {
    queue_.add_parts(name, std::move(parts));
  });
}

at::Tensor RankSaver::copied(const at::Tensor& tensor) {
  at::Tensor copy = copies_.copy(tensor);
  while (!copy.defined()) {
    hand_over();
    copies_.wait_for_room();
    setup_.activity->main.advance();
    copy = copies_.copy(tensor);
  }
  return copy;
}

/// The queue's thread reads the copies at once, so they must be there.
void RankSaver::hand_over() {
  copies_.wait();
  for (const std::function<void()>& step : std::exchange(under_way_, {})) {
    step();
  }
}

void RankSaver::write_stage(const DenoiseStage& stage) {
  const StagePlan& plan = stage.plan();
  int64_t timestep = -1;
  for (const CachedRows& cached : stage.caches_after_clip()) {
    if (std::exchange(timestep, cached.timestep) != cached.timestep) {
      open(CheckpointPart::of_timestep(cached.timestep, plan.layers.begin, plan.layers.end));
    }
    add_cache(cached);
  }
}

void RankSaver::write_decoder(const DecodeStage& decoder) {
  open(CheckpointPart::decoder());
  const CausalState& state = decoder.state();
  under_way_.emplace_back(
      [this, count = static_cast<int64_t>(state.caches.size())] { queue_.add_number("caches", count); });
  for (size_t i = 0; i < state.caches.size(); ++i) {
    if (state.caches[i].defined()) {
      add(causal_name(i), state.caches[i]);
    }
  }
}

int64_t RankSaver::replay_from() const {
  return std::max(settings_.first_clip, *position_ - clips_replayed(setup_.shape.blocks_per_clip));
}

void RankSaver::write_history(const RankState& state) {
  if (state.history == nullptr) {
    return;
  }
  int64_t timestep = -1;
  const int64_t blocks = setup_.shape.blocks_per_clip;
  for (const StepLatents& step : state.history->between(replay_from() * blocks, *position_ * blocks)) {
    if (std::exchange(timestep, step.timestep) != step.timestep) {
      open(CheckpointPart::latents_after(step.timestep));
    }
    add(block_name(step.block), step.latents);
  }
}

void RankSaver::poll() {
  if (!position_ || !queue_.idle()) {
    return;
  }
  if (!setup_.is_root()) {
    send_entries();
    if (length_transfer_->test() && text_transfer_->test()) {
      position_.reset();
    }
    return;
  }
  if (publishing_.valid()) {
    if (publishing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
      publishing_.get();
      position_.reset();
    }
    return;
  }
  receive_entries();
  if (all_here()) {
    publish();
  }
}

void RankSaver::finish() {
  if (!position_) {
    return;
  }
  if (!setup_.is_root()) {
    send_entries();
    length_transfer_->finish();
    text_transfer_->finish();
  } else {
    for (Incoming& incoming : incoming_) {
      if (incoming.length_transfer) {
        incoming.length_transfer->finish();
      }
    }
    receive_entries();
    for (Incoming& incoming : incoming_) {
      if (incoming.text_transfer) {
        incoming.text_transfer->finish();
      }
    }
    receive_entries();
    if (!publishing_.valid()) {
      publish();
    }
    publishing_.get();
  }
  position_.reset();
}

/// This rank's files, and on the decoder's the segments, in the manifest's own form.
CheckpointManifest RankSaver::own_entries() {
  CheckpointManifest own;
  own.position = *position_;
  own.files = queue_.files([this] { setup_.activity->main.advance(); });
  if (video_ != nullptr) {
    own.segments = video_->finished(*position_);
  }
  return own;
}

void RankSaver::send_entries() {
  if (std::exchange(entries_sent_, true)) {
    return;
  }
  sent_text_ = bytes_of(own_entries().to_json());
  sent_length_ = at::full({1}, sent_text_.numel(), at::kLong);
  length_transfer_ = links_->launch_send(sent_length_, 0);
  text_transfer_ = links_->launch_send(sent_text_, 0);
}

void RankSaver::receive_entries() {
  for (size_t i = 0; i < incoming_.size(); ++i) {
    Incoming& incoming = incoming_[i];
    if (incoming.length_transfer && incoming.length_transfer->test()) {
      incoming.length_transfer.reset();
      incoming.text = at::empty({incoming.length.item<int64_t>()}, at::kByte);
      incoming.text_transfer = links_->launch_receive(incoming.text, static_cast<int>(i) + 1);
    }
    if (incoming.text_transfer && incoming.text_transfer->test()) {
      incoming.text_transfer.reset();
      incoming.done = true;
      collect(CheckpointManifest::from_json(text_of(incoming.text), "a rank's part of the manifest"));
    }
  }
}

void RankSaver::collect(const CheckpointManifest& from_rank) {
  manifest_.files.insert(manifest_.files.end(), from_rank.files.begin(), from_rank.files.end());
  if (!from_rank.segments.empty()) {
    manifest_.segments = from_rank.segments;
  }
}

bool RankSaver::all_here() const {
  return std::all_of(incoming_.begin(), incoming_.end(), [](const Incoming& one) { return one.done; });
}

/// On a thread: removing an old checkpoint of tens of GB takes its time.
void RankSaver::publish() {
  collect(own_entries());
  incoming_.clear();
  manifest_.position = *position_;
  manifest_.identity = settings_.identity;
  manifest_.device = setup_.device.name;
  manifest_.dtype = setup_.device.dtype == at::kFloat ? "float32" : "bf16";
  manifest_.layout = layout_json(setup_.layout);
  if (light_) {
    manifest_.strength = CheckpointStrength::kLight;
    manifest_.replay_from = replay_from();
    manifest_.timesteps = setup_.job.sample_steps;
  } else if (setup_.shape.blocks_per_clip > 1) {  // a clip of one block leaves no cache behind
    manifest_.timesteps = setup_.job.sample_steps;
    manifest_.layers = setup_.checkpoint.dit_config.layers;
  }
  publishing_ = std::async(std::launch::async, [paths = paths_, manifest = std::move(manifest_)] {
    publish_checkpoint(paths, manifest);
  });
}

}  // namespace latentcast
