#include "latentcast/shard/layer_layout.h"

#include <iterator>
#include <map>
#include <utility>

#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

int64_t rounded_up(int64_t bytes, int64_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

/// Stands in for a checkpoint while take_dit_layer() says what it needs; gives tensors without contents.
class LayoutRecorder : public TensorSource {
 public:
  LayoutRecorder(at::ScalarType dtype, bool fp8) : dtype_(dtype), fp8_(fp8) {}

  bool has(const std::string&) const override { return true; }
  std::vector<int64_t> shape(const std::string& name) const override {
    throw InternalError("the shape of '" + name + "' isn't known while a layer is laid out");
  }
  at::Tensor take(const std::string& name, at::IntArrayRef shape) override {
    return place(name, shape, dtype_);
  }
  at::Tensor take_float(const std::string& name, at::IntArrayRef shape) override {
    return place(name, shape, at::kFloat);
  }
  std::vector<at::Tensor> take_together(const std::vector<std::string>& names,
                                        at::IntArrayRef shape) override {
    return place_together(names, shape, dtype_);
  }
  std::vector<Rows> take_product_weights(const std::vector<std::string>& names,
                                         at::IntArrayRef shape) override {
    if (!fp8_) return TensorSource::take_product_weights(names, shape);
    const std::vector<at::Tensor> values = place_together(names, shape, at::kFloat8_e4m3fn);
    std::vector<std::string> scale_names;
    for (const std::string& name : names) scale_names.push_back(name + kScales);
    const std::vector<at::Tensor> scales = place_together(scale_names, {shape[0], 1}, at::kFloat);
    std::vector<Rows> weights;
    for (size_t i = 0; i < names.size(); ++i) {
      layout_.tensors[layout_.tensors.size() - names.size() + i].weight_shape = shape.vec();
      weights.emplace_back(values[i], scales[i]);
    }
    return weights;
  }

  LayerLayout layout() && { return std::move(layout_); }

 private:
  std::vector<at::Tensor> place_together(const std::vector<std::string>& names, at::IntArrayRef shape,
                                         at::ScalarType dtype) {
    std::vector<at::Tensor> tensors;
    for (const std::string& name : names) tensors.push_back(place(name, shape, dtype));
    const auto last = layout_.tensors.end(), first = last - std::ssize(names);
    for (auto one = first; one != last; ++one) {
      one->together_begin = first->offset;
      one->together_end = (last - 1)->offset + (last - 1)->bytes;
    }
    return tensors;
  }

  at::Tensor place(const std::string& name, at::IntArrayRef shape, at::ScalarType dtype) {
    at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(dtype).device(at::kMeta));
    const auto bytes = static_cast<int64_t>(tensor.nbytes());
    layout_.tensors.push_back(
        {name, shape.vec(), dtype, layout_.bytes, bytes, layout_.bytes, layout_.bytes + bytes, {}});
    layout_.bytes += rounded_up(bytes, kShardAlignment);
    return tensor;
  }

  at::ScalarType dtype_;
  bool fp8_;
  LayerLayout layout_;
};

/// Gives views of a buffer by name.
class BufferSource : public TensorSource {
 public:
  BufferSource(const LayerLayout& layout, const at::Tensor& buffer, const PartInPlace& in_place)
      : buffer_(buffer), in_place_(in_place) {
    for (const PlacedTensor& tensor : layout.tensors) places_.emplace(tensor.name, &tensor);
  }

  bool has(const std::string& name) const override { return places_.contains(name); }
  std::vector<int64_t> shape(const std::string& name) const override { return place(name).shape; }
  at::Tensor take(const std::string& name, at::IntArrayRef shape) override {
    const PlacedTensor& tensor = place(name);
    if (shape != at::IntArrayRef(tensor.shape)) {
      throw InternalError("'" + name + "' was laid out in another shape");
    }
    const at::Tensor bytes = in_place_.holds(tensor)
                                 ? in_place_.bytes.narrow(0, tensor.offset - in_place_.begin, tensor.bytes)
                                 : buffer_.narrow(0, tensor.offset, tensor.bytes);
    return bytes.view(tensor.dtype).view(shape);
  }
  at::Tensor take_float(const std::string& name, at::IntArrayRef shape) override { return take(name, shape); }
  std::vector<Rows> take_product_weights(const std::vector<std::string>& names,
                                         at::IntArrayRef shape) override {
    std::vector<Rows> weights;
    for (const std::string& name : names) {
      const bool fp8 = has(name + kScales);
      weights.emplace_back(take(name, shape), fp8 ? take(name + kScales, {shape[0], 1}) : at::Tensor());
    }
    return weights;
  }

 private:
  const PlacedTensor& place(const std::string& name) const {
    const auto found = places_.find(name);
    if (found == places_.end()) throw InternalError("'" + name + "' isn't in the layer's buffer");
    return *found->second;
  }

  const at::Tensor& buffer_;
  const PartInPlace& in_place_;
  std::map<std::string, const PlacedTensor*> places_;
};

}  // namespace

int64_t LayerLayout::part_bytes(int parts) const {
  return rounded_up(bytes, parts * kShardAlignment) / parts;
}

bool PartInPlace::holds(const PlacedTensor& tensor) const {
  return bytes.defined() && tensor.together_begin >= begin && tensor.together_end <= begin + bytes.numel();
}

LayerLayout lay_out_layer(const DitConfig& config, int64_t layer, at::ScalarType dtype, bool fp8) {
  LayoutRecorder recorder(dtype, fp8);
  take_dit_layer(recorder, config, layer);
  return std::move(recorder).layout();
}

DitLayerWeights view_layer(const LayerLayout& layout, const DitConfig& config, int64_t layer,
                           const at::Tensor& buffer, const PartInPlace& in_place) {
  BufferSource source(layout, buffer, in_place);
  return take_dit_layer(source, config, layer);
}

}  // namespace latentcast
