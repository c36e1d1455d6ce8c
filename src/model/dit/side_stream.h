#pragma once

#include <optional>

#include <c10/core/Device.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

namespace latentcast {

/// A place in what a device has been given to do. On a CPU all is done when it is asked for: nothing waits.
class StreamMark {
 public:
  /// After all that the current stream of the device has been given so far.
  void set(at::Device device);
  /// What the current stream is given from now on waits for the mark, if it was ever set; the host doesn't.
  void let_wait(at::Device device) const;
  /// The host waits.
  void wait() const;

 private:
  std::optional<c10::Event> event_;  ///< on a GPU
};

/// A queue of work beside the device's current stream; on a CPU there is only one.
class SideStream {
 public:
  explicit SideStream(at::Device device);

  /// Makes this the current stream for as long as it lives.
  class Scope {
   public:
    explicit Scope(const SideStream& side);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::optional<c10::Stream> before_;
  };

 private:
  std::optional<c10::Stream> stream_;  ///< on a GPU
};

}  // namespace latentcast
