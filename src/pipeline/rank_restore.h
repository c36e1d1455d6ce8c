#pragma once

#include "latentcast/device/device.h"
#include "latentcast/pipeline/decode.h"
#include "latentcast/pipeline/latent_history.h"
#include "latentcast/pipeline/stage.h"
#include "latentcast/progress/checkpoint_reader.h"

namespace latentcast {

/// Fills a stage's caches from an exact checkpoint, whatever layout wrote it. Throws InputError naming the
/// damaged file.
void restore_caches(const CheckpointReader& checkpoint, DenoiseStage& stage);
void restore_decoder(const CheckpointReader& checkpoint, DecodeStage& decoder, const ComputeDevice& device);

/// What a stage with the last layer needs of a light checkpoint: its timesteps' latents.
Replay read_replay(const CheckpointReader& checkpoint, const DenoiseStage& stage,
                   const ComputeDevice& device);

}  // namespace latentcast
