#include "latentcast/pipeline/cuts.h"

#include <utility>

#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

// A stage that another one feeds asks about its clips too, and the two are at most as many clips apart as
// there are stages.
constexpr size_t kRemembered = 64;

}  // namespace

Cuts::Cuts(std::unique_ptr<Communicator> links, Decide decide, Wish wish)
    : links_(std::move(links)), decide_(std::move(decide)), wish_(std::move(wish)) {
  for (int rank = 1; links_->rank() == 0 && rank < links_->size(); ++rank) {
    at::Tensor word = at::zeros({1}, at::kLong);
    std::unique_ptr<Transfer> transfer = links_->launch_receive(word, rank);
    wishes_.push_back({std::move(transfer), std::move(word)});
  }
}

Cuts::~Cuts() = default;

Cut Cuts::after(int64_t clip) {
  const auto known = decided_.find(clip);
  if (known != decided_.end()) {
    return known->second;
  }
  const Cut cut = links_->rank() == 0 ? decide(clip) : next_word(clip);
  decided_.emplace(clip, cut);
  if (decided_.size() > kRemembered) {
    decided_.erase(decided_.begin());
  }
  return cut;
}

Cut Cuts::decide(int64_t clip) {
  const Cut cut = decide_(clip, stop_wished());
  for (int rank = 1; rank < links_->size(); ++rank) {
    send(rank, clip, cut);
  }
  return cut;
}

Cut Cuts::next_word(int64_t clip) {
  wish_once(wish_());
  const at::Tensor word = at::empty({2}, at::kLong);
  links_->receive(word, 0);
  const auto about = word[0].item<int64_t>();
  if (about != clip) {
    throw InternalError("rank 0 speaks of the end of clip " + std::to_string(about) + " instead of clip " +
                        std::to_string(clip));
  }
  return static_cast<Cut>(word[1].item<int64_t>());
}

void Cuts::send(int to, int64_t clip, Cut cut) {
  while (!sent_.empty() && sent_.front().transfer->test()) {
    sent_.pop_front();
  }
  at::Tensor word = at::tensor(at::ArrayRef<int64_t>({clip, static_cast<int64_t>(cut)}), at::kLong);
  std::unique_ptr<Transfer> transfer = links_->launch_send(word, to);
  sent_.push_back({std::move(transfer), std::move(word)});
}

bool Cuts::stop_wished() {
  for (Sent& wish : wishes_) {
    if (wish.transfer && wish.transfer->test()) {
      wish.transfer.reset();
      stop_wished_ = stop_wished_ || wish.tensor.item<int64_t>() != 0;
    }
  }
  return stop_wished_;
}

/// A rank says that it wishes a stop, or at the end that it never did.
void Cuts::wish_once(bool wished) {
  if (!wished || std::exchange(told_wish_, true)) {
    return;
  }
  at::Tensor word = at::ones({1}, at::kLong);
  std::unique_ptr<Transfer> transfer = links_->launch_send(word, 0);
  sent_.push_back({std::move(transfer), std::move(word)});
}

void Cuts::close() {
  if (links_->rank() != 0 && !std::exchange(told_wish_, true)) {
    links_->send(at::zeros({1}, at::kLong), 0);
  }
  for (Sent& wish : wishes_) {
    if (wish.transfer) {
      wish.transfer->finish();
    }
  }
  for (Sent& sent : sent_) {
    sent.transfer->finish();
  }
  wishes_.clear();
  sent_.clear();
}

}  // namespace latentcast
