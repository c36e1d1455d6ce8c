#pragma once

#include <memory>
#include <string>
#include <utility>

#include "latentcast/comm/activity.h"
#include "latentcast/model/dit/weights.h"

namespace latentcast {

/// Layers of another provider; each that is asked for is noted as the part that its thread is at.
class WatchedLayers : public LayerProvider {
 public:
  WatchedLayers(std::unique_ptr<LayerProvider> layers, Activity& activity)
      : layers_(std::move(layers)), activity_(activity) {}

  const DitLayerWeights& acquire(int64_t layer) override {
    activity_.part("layer " + std::to_string(layer));
    return layers_->acquire(layer);
  }

 private:
  std::unique_ptr<LayerProvider> layers_;
  Activity& activity_;
};

}  // namespace latentcast
