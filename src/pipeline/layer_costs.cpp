#include "latentcast/pipeline/layer_costs.h"

namespace latentcast {
namespace {

/// Multiplications a token. Keys and values of the prompt are made once a render.
double plain_layer(const DitConfig& config, const StageShape& shape) {
  const auto dim = static_cast<double>(config.dim), ffn = static_cast<double>(config.ffn_dim);
  const auto keys =
      static_cast<double>(shape.blocks_per_clip * shape.block_tokens() + shape.condition_tokens());
  const double products = (4 + 2) * dim * dim + 2 * dim * ffn;
  return products + 2 * dim * (keys + static_cast<double>(config.text_len));
}

/// Its keys and values are those of a few audio tokens.
double injector(const DitConfig& config) {
  const auto dim = static_cast<double>(config.dim);
  return 2 * dim * dim + 2 * dim * static_cast<double>(config.audio_tokens + 1);
}

}  // namespace

std::vector<double> layer_costs(const DitConfig& config, const StageShape& shape) {
  std::vector<double> costs(static_cast<size_t>(config.layers), plain_layer(config, shape));
  for (const int64_t layer : config.inject_layers) costs[static_cast<size_t>(layer)] += injector(config);
  double all = 0;
  for (const double cost : costs) all += cost;
  for (double& cost : costs) cost /= all;
  return costs;
}

}  // namespace latentcast
