#include "latentcast/pipeline/checkpoint.h"

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/model/text/t5_encoder.h"
#include "latentcast/model/vae/decoder.h"
#include "latentcast/model/vae/encoder.h"
#include "latentcast/weights/model_config.h"
#include "latentcast/weights/safetensors.h"
#include "latentcast/weights/torch_archive.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

// What public checkpoints carry and no stage of inference reads.
const std::vector<std::string> kUnusedAudio = {"lm_head.*", "wav2vec2.masked_spec_embed"};

DitConfig to_dit_config(const DitFileConfig& file) {
  DitConfig config;
  config.dim = file.dim;
  config.ffn_dim = file.ffn_dim;
  config.heads = file.num_heads;
  config.layers = file.num_layers;
  config.freq_dim = file.freq_dim;
  config.text_len = file.text_len;
  config.audio_dim = file.audio_dim;
  config.audio_tokens = file.num_audio_token;
  config.inject_layers = file.audio_inject_layers;
  config.eps = file.eps;
  return config;
}

Wav2Vec2Config to_audio_config(const Wav2Vec2FileConfig& file) {
  Wav2Vec2Config config;
  config.hidden = file.hidden_size;
  config.layers = file.num_hidden_layers;
  config.heads = file.num_attention_heads;
  config.ffn = file.intermediate_size;
  config.conv_width = file.conv_dim;
  config.conv_kernel = file.conv_kernel;
  config.conv_stride = file.conv_stride;
  config.conv_bias = file.conv_bias;
  config.position_kernel = file.num_conv_pos_embeddings;
  config.position_groups = file.num_conv_pos_embedding_groups;
  config.epsilon = file.layer_norm_eps;
  return config;
}

std::shared_ptr<const TensorArchive> share(TensorArchive archive) {
  return std::make_shared<const TensorArchive>(std::move(archive));
}

/// Builds each network with tensors that have shapes but no contents.
void check_tensors(const Checkpoint& checkpoint) {
  ComputeDevice nowhere;
  nowhere.device = at::kMeta;
  {
    CheckpointSource source = checkpoint.dit_source(nowhere);
    take_dit_globals(source, checkpoint.dit_config);
    ResidentLayers layers(source, checkpoint.dit_config);
    source.finish({});
  }
  {
    CheckpointSource source = checkpoint.vae_source(nowhere);
    VaeEncoder encoder(source);
    VaeDecoder decoder(source);
    source.finish({});
  }
  {
    CheckpointSource source = checkpoint.text_source(nowhere);
    check_text_weights(source);
    source.finish({});
  }
  {
    CheckpointSource source = checkpoint.audio_source(nowhere);
    check_sound_weights(source, checkpoint.audio_config);
    source.finish(kUnusedAudio);
  }
}

void check_fit(const Checkpoint& checkpoint, const RenderJob& job) {
  const DitConfig& dit = checkpoint.dit_config;
  if (dit.audio_dim != checkpoint.audio_config.hidden ||
      dit.audio_layers != checkpoint.audio_config.layers + 1) {
    throw InputError(job.ckpt_dir.string() + ": the transformer wants " + std::to_string(dit.audio_layers) +
                     " hidden states of width " + std::to_string(dit.audio_dim) +
                     ", the audio encoder gives " + std::to_string(checkpoint.audio_config.layers + 1) +
                     " of width " + std::to_string(checkpoint.audio_config.hidden) +
                     "; the files belong to different models");
  }
  CheckpointSource text = checkpoint.text_source({});
  const int64_t width = text.shape("token_embedding.weight").back();
  if (width != dit.text_dim) {
    throw InputError(job.ckpt_dir.string() + ": the transformer wants text of width " +
                     std::to_string(dit.text_dim) + ", the text encoder gives " + std::to_string(width) +
                     "; the files belong to different models");
  }
}

}  // namespace

CheckpointSource Checkpoint::source(const std::shared_ptr<const TensorArchive>& archive,
                                    const ComputeDevice& device) const {
  CheckpointSource source(archive, device.dtype, device.device);
  source.set_observer(on_read);
  return source;
}

CheckpointSource Checkpoint::dit_source(const ComputeDevice& device) const {
  CheckpointSource weights = source(dit, device);
  if (lora) {
    weights.set_lora(lora);
  }
  return weights;
}

CheckpointSource Checkpoint::vae_source(const ComputeDevice& device) const { return source(vae, device); }
CheckpointSource Checkpoint::text_source(const ComputeDevice& device) const { return source(text, device); }
CheckpointSource Checkpoint::audio_source(const ComputeDevice& device) const { return source(audio, device); }

Checkpoint open_networks(const RenderJob& job) {
  const fs::path& dir = job.ckpt_dir;
  Checkpoint checkpoint;
  checkpoint.dit_config = to_dit_config(read_dit_config((dir / "config.json").string()));
  checkpoint.dit = share(open_safetensors_folder(dir.string(), "diffusion_pytorch_model"));
  checkpoint.vae = share(open_torch_archive((dir / "Wan2.1_VAE.pth").string()));
  checkpoint.dit_config = complete_config(checkpoint.dit_config, checkpoint.dit_source({}));
  return checkpoint;
}

Checkpoint open_checkpoint(const RenderJob& job) {
  const fs::path& dir = job.ckpt_dir;
  const fs::path speech = dir / "wav2vec2-large-xlsr-53-english";
  Checkpoint checkpoint = open_networks(job);
  checkpoint.audio_config = to_audio_config(read_wav2vec2_config((speech / "config.json").string()));
  checkpoint.tokenizer = dir / "google" / "umt5-xxl";
  checkpoint.text = share(open_torch_archive((dir / "models_t5_umt5-xxl-enc-bf16.pth").string()));
  const fs::path modern = speech / "model.safetensors";
  checkpoint.audio =
      share(open_archive((fs::exists(modern) ? modern : speech / "pytorch_model.bin").string()));
  if (job.load_lora) {
    checkpoint.lora =
        std::make_shared<const LoraAdapter>(share(open_archive(job.lora_path_dmd.string())), job.lora_alpha);
  }
  check_fit(checkpoint, job);
  check_tensors(checkpoint);
  return checkpoint;
}

}  // namespace latentcast
