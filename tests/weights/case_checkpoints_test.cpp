// The reference cases' checkpoints are laid out like the published one, so every kind of file is there.

#include <algorithm>

#include "weights/weights_test_support.h"
#include <ATen/ATen.h>

#include "latentcast/weights/checkpoint_source.h"
#include "latentcast/weights/model_config.h"
#include "latentcast/weights/safetensors.h"
#include "latentcast/weights/torch_archive.h"

namespace latentcast {
namespace {

class CaseCheckpoint : public ::testing::TestWithParam<const char*> {
 protected:
  static std::string path(const std::string& file) {
    return weights_data("../cases/" + std::string(GetParam()) + "/checkpoint/" + file);
  }
};

/// Takes every tensor in bf16 and finds none left over.
size_t take_all(const std::shared_ptr<const TensorArchive>& archive,
                std::shared_ptr<const LoraAdapter> lora = nullptr) {
  CheckpointSource source(archive, at::kBFloat16, at::kCPU);
  source.set_lora(std::move(lora));
  for (const std::string& name : archive->names()) {
    const at::Tensor tensor = source.take(name, archive->find(name)->shape);
    EXPECT_TRUE(tensor.isfinite().all().item<bool>()) << name;
  }
  source.finish({});
  return archive->size();
}

std::shared_ptr<const TensorArchive> shared(TensorArchive archive) {
  return std::make_shared<const TensorArchive>(std::move(archive));
}

TEST_P(CaseCheckpoint, TransformerTakesItsLora) {
  const DitFileConfig config = read_dit_config(path("config.json"));
  const auto archive = shared(open_safetensors_folder(path(""), "diffusion_pytorch_model"));
  const auto lora = std::make_shared<const LoraAdapter>(shared(open_archive(path("liveavatar.safetensors"))));
  EXPECT_GT(take_all(archive, lora), 100U);
  const TensorView* const query = archive->find("blocks.0.self_attn.q.weight");
  ASSERT_NE(query, nullptr);
  EXPECT_EQ(query->shape, (std::vector<int64_t>{config.dim, config.dim}));
  EXPECT_TRUE(lora->has("blocks.0.self_attn.q"));
}

TEST_P(CaseCheckpoint, AutoencoderAndTextEncoderAreRead) {
  EXPECT_EQ(take_all(shared(open_archive(path("Wan2.1_VAE.pth")))), 194U);
  EXPECT_GT(take_all(shared(open_archive(path("models_t5_umt5-xxl-enc-bf16.pth")))), 20U);
}

TEST_P(CaseCheckpoint, SpeechEncoderIsRead) {
  const std::string folder = path("wav2vec2-large-xlsr-53-english");
  const Wav2Vec2FileConfig config = read_wav2vec2_config(folder + "/config.json");
  const auto archive = shared(open_safetensors_folder(folder, "model"));
  EXPECT_GT(take_all(archive), 400U);
  EXPECT_EQ(archive->find("wav2vec2.encoder.layer_norm.bias")->shape,
            std::vector<int64_t>{config.hidden_size});
}

INSTANTIATE_TEST_SUITE_P(Cases, CaseCheckpoint, ::testing::Values("landscape", "portrait", "duo"));

}  // namespace
}  // namespace latentcast
