#pragma once

#include <functional>
#include <memory>
#include <string>

#include "latentcast/config/render_job.h"
#include "latentcast/device/device.h"
#include "latentcast/model/audio/wav2vec2.h"
#include "latentcast/model/dit/weights.h"
#include "latentcast/weights/checkpoint_source.h"

namespace latentcast {

/// The files of a checkpoint folder in the public layout, mapped, their tables of contents read.
struct Checkpoint {
  DitConfig dit_config;
  Wav2Vec2Config audio_config;
  std::shared_ptr<const TensorArchive> dit, vae, text, audio;
  std::shared_ptr<const LoraAdapter> lora;  ///< null if none is asked for
  std::filesystem::path tokenizer;
  CheckpointSource::Observer on_read;  ///< may be empty

  CheckpointSource dit_source(const ComputeDevice& device) const;
  CheckpointSource vae_source(const ComputeDevice& device) const;
  CheckpointSource text_source(const ComputeDevice& device) const;
  CheckpointSource audio_source(const ComputeDevice& device) const;

 private:
  CheckpointSource source(const std::shared_ptr<const TensorArchive>& archive,
                          const ComputeDevice& device) const;
};

/// Opens and checks all files: every tensor that a network needs is there in its shape and type, and none is
/// left over but the named ones. Reads no weights. Throws InputError naming file and tensor.
Checkpoint open_checkpoint(const RenderJob& job);

/// The transformer's and the autoencoder's files alone, for their sizes; unchecked.
Checkpoint open_networks(const RenderJob& job);

}  // namespace latentcast
