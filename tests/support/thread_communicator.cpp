#include "thread_communicator.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast::test {
namespace {

constexpr auto kPatience = std::chrono::minutes(1);
constexpr int kRubbish = 0xee;

void spoil(const at::Tensor& tensor) { tensor.view({-1}).view(at::kByte).fill_(kRubbish); }

/// What the ranks of one group share: parcels, put down once and picked up by whoever knows their place.
class Exchange {
 public:
  using Place = std::tuple<int, int, int64_t>;  // from, to (−1: all), count of earlier ones

  explicit Exchange(std::shared_ptr<std::atomic<bool>> failed) : failed_(std::move(failed)) {}

  void put(const Place& place, const at::Tensor& tensor) { share(place, tensor.clone()); }

  /// The tensor itself instead of a copy.
  void share(const Place& place, const at::Tensor& tensor) {
    const std::lock_guard lock(mutex_);
    parcels_[place] = tensor;
    changed_.notify_all();
  }

  bool has(const Place& place) const {
    const std::lock_guard lock(mutex_);
    return parcels_.contains(place);
  }

  /// The parcel; the `readers`th rank to ask takes it away.
  at::Tensor get(const Place& place, int readers) {
    std::unique_lock lock(mutex_);
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!parcels_.contains(place)) {
      if (*failed_ || std::chrono::steady_clock::now() > deadline) {
        throw InternalError("rank " + std::to_string(std::get<0>(place)) + " didn't send");
      }
      changed_.wait_for(lock, std::chrono::milliseconds(10));
    }
    at::Tensor parcel = parcels_.at(place);
    if (++readers_[place] == readers) {
      parcels_.erase(place);
      readers_.erase(place);
    }
    return parcel;
  }

  /// The same exchange for all ranks of a group that is split off.
  std::shared_ptr<Exchange> part(int64_t split, int color) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Exchange>& found = parts_[{split, color}];
    if (!found) found = std::make_shared<Exchange>(failed_);
    return found;
  }

 private:
  std::shared_ptr<std::atomic<bool>> failed_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Place, at::Tensor> parcels_;
  std::map<Place, int> readers_;
  std::map<std::pair<int64_t, int>, std::shared_ptr<Exchange>> parts_;
};

/// A number of parcels to be picked up, each into its own tensor.
class Pickup : public Transfer {
 public:
  Pickup(std::shared_ptr<Exchange> exchange, int readers)
      : exchange_(std::move(exchange)), readers_(readers) {}
  void add(const Exchange::Place& place, const at::Tensor& into) { waiting_.emplace_back(place, into); }

  bool test() override {
    for (const auto& [place, into] : waiting_) {
      if (!exchange_->has(place)) return false;
    }
    finish();
    return true;
  }

  void finish() override {
    for (const auto& [place, into] : std::exchange(waiting_, {})) {
      into.copy_(exchange_->get(place, readers_));
    }
  }

 private:
  std::shared_ptr<Exchange> exchange_;
  int readers_;
  std::vector<std::pair<Exchange::Place, at::Tensor>> waiting_;
};

/// Shares that ranks read from one another, as GPUs of one host do. What a gather doesn't promise of a rank's
/// own part is rubbish.
class DirectShares : public PeerShares {
 public:
  DirectShares(int rank, std::vector<at::Tensor> shares) : rank_(rank), shares_(std::move(shares)) {}

  using PeerShares::launch_gather;
  std::unique_ptr<Transfer> launch_gather(int64_t begin, int64_t count, const at::Tensor& all,
                                          OwnPart own) override {
    const auto size = static_cast<int>(shares_.size());
    if (all.numel() != count * size || own.head + own.tail > count) {
      throw InternalError("launch_gather: the sizes don't fit");
    }
    spoil(all);
    auto copies = std::make_unique<Copies>();
    for (int rank = 0; rank < size; ++rank) {
      const at::Tensor from = shares_[static_cast<size_t>(rank)].narrow(0, begin, count);
      const at::Tensor to = all.narrow(0, rank * count, count);
      if (rank == rank_) {
        copies->add(from.narrow(0, 0, own.head), to.narrow(0, 0, own.head));
        copies->add(from.narrow(0, count - own.tail, own.tail), to.narrow(0, count - own.tail, own.tail));
      } else {
        copies->add(from, to);
        bytes_gathered_ += static_cast<int64_t>(from.nbytes());
      }
    }
    return copies;
  }

  bool is_collective() const override { return false; }
  std::string way() const override { return "threads"; }
  int64_t bytes_gathered() const override { return bytes_gathered_; }

 private:
  /// Made when they are finished.
  class Copies : public Transfer {
   public:
    void add(const at::Tensor& from, const at::Tensor& to) { waiting_.emplace_back(from, to); }
    bool test() override {
      finish();
      return true;
    }
    void finish() override {
      for (const auto& [from, to] : std::exchange(waiting_, {})) to.copy_(from);
    }

   private:
    std::vector<std::pair<at::Tensor, at::Tensor>> waiting_;
  };

  int rank_;
  std::vector<at::Tensor> shares_;
  int64_t bytes_gathered_ = 0;
};

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Exchange> exchange, int rank, int size)
      : exchange_(std::move(exchange)), rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  std::unique_ptr<Transfer> launch_send(const at::Tensor& tensor, int to) override {
    if (to == rank_) throw InternalError("a rank doesn't send to itself");
    exchange_->put({rank_, to, sent_[to]++}, tensor);
    bytes_sent_ += static_cast<int64_t>(tensor.nbytes());
    return std::make_unique<Pickup>(exchange_, 1);
  }

  std::unique_ptr<Transfer> launch_receive(const at::Tensor& tensor, int from) override {
    spoil(tensor);
    auto pickup = std::make_unique<Pickup>(exchange_, 1);
    pickup->add({from, rank_, received_[from]++}, tensor);
    return pickup;
  }

  std::unique_ptr<Transfer> launch_all_gather(const at::Tensor& part, const at::Tensor& all) override {
    if (all.numel() != part.numel() * size_) throw InternalError("all_gather: the sizes don't fit");
    spoil(all);
    const int64_t number = collectives_++;
    exchange_->put({rank_, -1, number}, part);
    bytes_gathered_ += static_cast<int64_t>(all.nbytes() - part.nbytes());
    auto pickup = std::make_unique<Pickup>(exchange_, size_);
    for (int from = 0; from < size_; ++from) {
      pickup->add({from, -1, number}, all.narrow(0, from * part.size(0), part.size(0)));
    }
    return pickup;
  }

  std::unique_ptr<PeerShares> publish(const at::Tensor& share, GatherWay way) override {
    if (way == GatherWay::kCollective) return Communicator::publish(share, way);
    const int64_t number = collectives_++;
    exchange_->share({rank_, -1, number}, share);
    std::vector<at::Tensor> shares;
    for (int from = 0; from < size_; ++from) shares.push_back(exchange_->get({from, -1, number}, size_));
    return std::make_unique<DirectShares>(rank_, std::move(shares));
  }

  void broadcast(const at::Tensor& tensor, int root) override {
    const int64_t number = collectives_++;
    if (rank_ == root) exchange_->put({root, -1, number}, tensor);
    tensor.copy_(exchange_->get({root, -1, number}, size_));
  }

  void barrier() override {
    const at::Tensor one = at::zeros({1});
    all_gather(one, at::empty({size_}));
  }

  std::unique_ptr<Communicator> split(int color) override {
    const int64_t number = collectives_;
    const at::Tensor colors = at::empty({size_}, at::kLong);
    all_gather(at::full({1}, color, at::kLong), colors);
    if (color < 0) return nullptr;
    const at::Tensor same = colors == color;
    return std::make_unique<ThreadCommunicator>(
        exchange_->part(number, color), same.narrow(0, 0, rank_).sum().item<int>(), same.sum().item<int>());
  }

  int64_t bytes_gathered() const override { return bytes_gathered_; }
  int64_t bytes_sent() const override { return bytes_sent_; }

 private:
  std::shared_ptr<Exchange> exchange_;
  int rank_, size_;
  int64_t collectives_ = 0, bytes_gathered_ = 0, bytes_sent_ = 0;
  std::map<int, int64_t> sent_, received_;
};

}  // namespace

void run_ranks(int size, const std::function<void(std::unique_ptr<Communicator>)>& body) {
  const auto failed = std::make_shared<std::atomic<bool>>(false);
  const auto exchange = std::make_shared<Exchange>(failed);
  std::mutex mutex;
  std::exception_ptr first;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.emplace_back([&, rank] {
      try {
        body(std::make_unique<ThreadCommunicator>(exchange, rank, size));
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
        *failed = true;
      }
    });
  }
  for (std::thread& rank : ranks) rank.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace latentcast::test
