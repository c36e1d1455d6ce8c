#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/tensor_source.h"
#include "latentcast/weights/lora.h"
#include "latentcast/weights/tensor_view.h"

namespace latentcast {

class Upload;

/// Weights of a checkpoint, on a device and in a dtype. One thread at a time.
/// Tensors must not be written to: on a CPU, where dtype and alignment (64 bytes) allow, they are the mapped
/// file itself (and keep it mapped).
class CheckpointSource : public RangeSource {
 public:
  /// `prefix` is put in front of every name that is asked for.
  CheckpointSource(std::shared_ptr<const TensorArchive> archive, at::ScalarType dtype, at::Device device,
                   std::string prefix = "");

  bool has(const std::string& name) const override;
  std::vector<int64_t> shape(const std::string& name) const override;
  at::Tensor take(const std::string& name, at::IntArrayRef shape) override;
  std::vector<at::Tensor> take_together(const std::vector<std::string>& names,
                                        at::IntArrayRef shape) override;
  at::Tensor take_float(const std::string& name, at::IntArrayRef shape) override;

  /// Reads nothing else of the tensor, and lets go of the file's pages. LoRA included.
  void copy_range(const std::string& name, at::IntArrayRef shape, int64_t first,
                  const at::Tensor& to) override;

  at::ScalarType dtype() const override { return dtype_; }
  at::Device device() const override { return device_; }

  /// From now on `take("X.weight")` gives X.weight with its change, computed in float32 and rounded once.
  void set_lora(std::shared_ptr<const LoraAdapter> lora);

  /// Called with a tensor's full name and the bytes in the file whenever one, or a part of one, is about to
  /// be read.
  using Observer = std::function<void(const std::string& name, int64_t bytes)>;
  void set_observer(Observer observer) { observer_ = std::move(observer); }

  /// Call when the network is built. Throws InputError if the file has tensors that were never taken and
  /// aren't allowed (names as in the file, prefix included; a trailing * stands for anything), or if a LoRA
  /// pair wasn't used. A rank that takes only some layers doesn't call it: open_checkpoint() has done so for
  /// all.
  void finish(const std::vector<std::string>& unused_allowed) const;

 private:
  at::Tensor take_as(const std::string& name, at::IntArrayRef shape, at::ScalarType dtype);
  const TensorView& view(const std::string& full_name) const;
  const TensorView& use(const std::string& full_name, at::IntArrayRef shape, int64_t elements);
  std::optional<std::string> lora_target(const std::string& full_name) const;

  std::shared_ptr<const TensorArchive> archive_;
  at::ScalarType dtype_;
  at::Device device_;
  std::string prefix_;
  std::shared_ptr<const LoraAdapter> lora_;
  std::shared_ptr<Upload> upload_;
  Observer observer_;
  std::set<std::string> used_;
  std::set<std::string> lora_used_;
};

}  // namespace latentcast
