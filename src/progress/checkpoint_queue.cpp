#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/progress/checkpoint_job.h"
#include "latentcast/progress/checkpoint_writer.h"

namespace latentcast {

/// Work goes from the caller to the thread through `queue_`; entries of finished files and the first error
/// come back. All of it under `mutex_`; the writer itself belongs to the thread.
class CheckpointQueue::Impl {
 public:
  struct Step {
    std::function<void()> work;
    int64_t bytes = 0;
  };

  Impl(RunPaths paths, int64_t most_bytes)
      : paths_(std::move(paths)), most_bytes_(most_bytes), thread_([this] { run(); }) {}

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      queue_.clear();
    }
    changed_.notify_all();
    thread_.join();
  }

  /// Waits for room: a step larger than all of it waits until the queue is empty.
  void push(Step step) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || waiting_ == 0 || waiting_ + step.bytes <= most_bytes_; });
    throw_error();
    waiting_ += step.bytes;
    queue_.push_back(std::move(step));
    lock.unlock();
    changed_.notify_all();
  }

  void open(int64_t position, const CheckpointPart& part) {
    push({[this, position, part] {
      finish_file();
      writer_.emplace(paths_, position, part);
    }});
  }
  void add_parts(const std::string& name, std::vector<at::Tensor> parts) {
    int64_t bytes = 0;
    for (const at::Tensor& part : parts) bytes += static_cast<int64_t>(part.nbytes());
    push({[this, name, parts = std::move(parts)] { writer_.value().add_parts(name, parts); }, bytes});
  }
  void add_number(const std::string& name, int64_t value) {
    push({[this, name, value] { writer_.value().add_number(name, value); }});
  }
  void close() {
    push({[this] { finish_file(); }});
  }

  bool idle() const {
    const std::lock_guard lock(mutex_);
    return is_idle();
  }

  std::vector<CheckpointFile> files(const std::function<void()>& on_step) {
    std::unique_lock lock(mutex_);
    for (uint64_t seen = steps_; !is_idle(); seen = steps_) {
      changed_.wait(lock, [&] { return is_idle() || steps_ != seen; });
      if (on_step) on_step();
    }
    throw_error();
    return std::exchange(files_, {});
  }

 private:
  bool is_idle() const { return error_ || (queue_.empty() && !at_work_); }

  void throw_error() const {
    if (error_) std::rethrow_exception(error_);
  }

  void finish_file() {
    if (!writer_) return;
    const CheckpointFile file = writer_->close();
    writer_.reset();
    const std::lock_guard lock(mutex_);
    files_.push_back(file);
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return ended_ || !queue_.empty(); });
      if (ended_) return;
      Step step = std::move(queue_.front());
      queue_.pop_front();
      at_work_ = true;
      lock.unlock();
      std::exception_ptr error;
      try {
        step.work();
      } catch (...) {
        error = std::current_exception();
      }
      step.work = nullptr;  // lets go of the tensor
      lock.lock();
      at_work_ = false;
      ++steps_;
      waiting_ -= step.bytes;
      if (error) {
        error_ = error;
        queue_.clear();
      }
      changed_.notify_all();
      if (error) return;
    }
  }

  RunPaths paths_;
  int64_t most_bytes_;
  std::optional<CheckpointFileWriter> writer_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Step> queue_;
  std::vector<CheckpointFile> files_;
  std::exception_ptr error_;
  int64_t waiting_ = 0;
  uint64_t steps_ = 0;  ///< done
  bool at_work_ = false, ended_ = false;
  std::thread thread_;  // last: it uses all of the above
};

CheckpointQueue::CheckpointQueue(RunPaths paths, int64_t most_bytes)
    : impl_(std::make_unique<Impl>(std::move(paths), most_bytes)) {}
CheckpointQueue::~CheckpointQueue() = default;

void CheckpointQueue::open(int64_t position, const CheckpointPart& part) { impl_->open(position, part); }
void CheckpointQueue::add_parts(const std::string& name, std::vector<at::Tensor> parts) {
  impl_->add_parts(name, std::move(parts));
}
void CheckpointQueue::add_number(const std::string& name, int64_t value) { impl_->add_number(name, value); }
void CheckpointQueue::close() { impl_->close(); }
bool CheckpointQueue::idle() const { return impl_->idle(); }
std::vector<CheckpointFile> CheckpointQueue::files(const std::function<void()>& on_step) {
  return impl_->files(on_step);
}

}  // namespace latentcast
