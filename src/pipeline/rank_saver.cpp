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
constexpr int64_t kDecoderRoom = int64_t{3} << 29;  // its state at 704x384; a larger one copies more slowly

std::string text_of(const at::Tensor& bytes) {
  return {static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(bytes.numel())};
}

at::Tensor bytes_of(const std::string& text) {
  at::Tensor bytes = at::empty({static_cast<int64_t>(text.size())}, at::kByte);
  std::copy(text.begin(), text.end(), static_cast<char*>(bytes.data_ptr()));
  return bytes;
}

}  // namespace

std::string cache_name(int64_t layer, const char* what) {
  char name[48];
  std::snprintf(name, sizeof name, "layer-%03lld/%s", static_cast<long long>(layer), what);
  return name;
}

std::string causal_name(size_t index) {
  char name[32];
  std::snprintf(name, sizeof name, "cache-%03zu", index);
  return name;
}

RankSaver::RankSaver(const RankSetup& setup, std::string identity, std::unique_ptr<Communicator> links)
    : setup_(setup),
      paths_(setup.job),
      identity_(std::move(identity)),
      links_(std::move(links)),
      copies_(setup.device),
      queue_(paths_, std::max(kLeastWaiting, available_host_bytes() / 2)) {}

RankSaver::~RankSaver() = default;

void RankSaver::prepare(const DenoiseStage& stage) {
  int64_t bytes = 0;
  for (const CachedLayer& cached : stage.caches_after_clip()) {
    bytes += static_cast<int64_t>(cached.key.nbytes() + cached.value.nbytes());
  }
  copies_.prepare(bytes + (setup_.layout.decodes(setup_.rank) ? kDecoderRoom : 0));
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
  copies_.reset();
  if (state.stage != nullptr) {
    write_stage(state);
  }
  if (state.decoder != nullptr) {
    write_decoder(*state.decoder);
  }
  if (setup_.is_root()) {
    queue_.open(position, CheckpointPart::render());
    add("first_latent", state.first_latent);
    manifest_ = {};
    for (int rank = 1; rank < links_->size(); ++rank) {
      Incoming incoming{at::zeros({1}, at::kLong), {}, nullptr, nullptr};
      incoming.length_transfer = links_->launch_receive(incoming.length, rank);
      incoming_.push_back(std::move(incoming));
    }
  }
  queue_.close();
  copies_.wait();
}

void RankSaver::add(const std::string& name, const at::Tensor& tensor) {
  queue_.add(name, copies_.copy(tensor));
}

void RankSaver::write_stage(const RankState& state) {
  const StagePlan& plan = state.stage->plan();
  int64_t timestep = -1;
  for (const CachedLayer& cached : state.stage->caches_after_clip()) {
    if (std::exchange(timestep, cached.timestep) != cached.timestep) {
      queue_.open(*position_,
                  CheckpointPart::of_timestep(cached.timestep, plan.layers.begin, plan.layers.end));
    }
    add(cache_name(cached.layer, "key"), cached.key);
    add(cache_name(cached.layer, "value"), cached.value);
  }
}

void RankSaver::write_decoder(const DecodeStage& decoder) {
  queue_.open(*position_, CheckpointPart::decoder());
  const CausalState& state = decoder.state();
  queue_.add_number("caches", static_cast<int64_t>(state.caches.size()));
  for (size_t i = 0; i < state.caches.size(); ++i) {
    if (state.caches[i].defined()) {
      add(causal_name(i), state.caches[i]);
    }
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
  own.files = queue_.files();
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
  manifest_.identity = identity_;
  manifest_.device = setup_.device.name;
  manifest_.dtype = setup_.device.dtype == at::kFloat ? "float32" : "bf16";
  manifest_.layout = layout_json(setup_.layout);
  // A clip of one block leaves no cache behind.
  const bool caches = setup_.shape.blocks_per_clip > 1;
  manifest_.timesteps = caches ? setup_.job.sample_steps : 0;
  manifest_.layers = caches ? setup_.checkpoint.dit_config.layers : 0;
  publishing_ = std::async(std::launch::async, [paths = paths_, manifest = std::move(manifest_)] {
    publish_checkpoint(paths, manifest);
  });
}

}  // namespace latentcast
