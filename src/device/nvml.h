#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace latentcast {

/// NVIDIA's management library, loaded at run time; one GPU of it.
class Nvml {
 public:
  /// The GPU that this process knows as `index`. Null if there is no such library or GPU.
  static std::unique_ptr<Nvml> open(int index);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  /// What this process takes; negative if processes aren't named here.
  int64_t process_bytes() const;
  /// What all processes take; negative if that can't be read.
  int64_t device_bytes() const;
  /// What the GPU has; 0 if that can't be read.
  int64_t total_bytes() const;

 private:
  Nvml(void* library, void* device) : library_(library), device_(device) {}

  void* library_;
  void* device_;
};

}  // namespace latentcast
