#pragma once

#include "latentcast/budget/memory_planner.h"

namespace latentcast::test {

/// The published model at 704×384.
inline ModelSizes large_model() {
  ModelSizes model;
  model.dim = 5120, model.ffn_dim = 13824, model.heads = 40, model.layers = 40;
  model.text_dim = 4096, model.audio_dim = 1024, model.audio_layers = 25, model.audio_tokens = 4;
  model.inject_layers = {0, 4, 8, 12, 16, 20, 24, 27, 30, 33, 36, 39};
  model.decoder_weights = 146591206 / 2;
  model.decoder_state = 641000000;
  return model;
}

inline WorkSizes large_work() {
  WorkSizes work;
  work.latent_rows = 48, work.latent_columns = 88;
  return work;
}

inline LayoutRequest ranks(int world_size) {
  LayoutRequest request;
  request.world_size = world_size;
  return request;
}

}  // namespace latentcast::test
