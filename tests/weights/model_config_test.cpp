#include "latentcast/weights/model_config.h"

#include <tuple>

#include "weights/weights_test_support.h"
#include <nlohmann/json.hpp>

namespace latentcast {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json dit_json() {
  return json::parse(R"({"model_type": "s2v", "dim": 64, "ffn_dim": 160, "freq_dim": 256, "num_heads": 4,
    "num_layers": 4, "in_dim": 16, "out_dim": 16, "eps": 1e-06, "text_len": 512, "audio_dim": 32,
    "num_audio_token": 4, "cond_dim": 16, "audio_inject_layers": [0, 2, 3], "enable_adain": true,
    "adain_mode": "attn_norm", "add_last_motion": true, "zero_timestep": true, "enable_framepack": true,
    "framepack_drop_mode": "padd", "enable_motioner": false, "enable_tsm": false, "_class_name": "WanModel_S2V"})");
}

json wav2vec2_json() {
  return json::parse(
      R"({"hidden_size": 32, "num_hidden_layers": 24, "num_attention_heads": 4, "intermediate_size": 48,
    "conv_dim": [24, 24], "conv_kernel": [10, 3], "conv_stride": [5, 2], "conv_bias": true,
    "feat_extract_norm": "layer", "do_stable_layer_norm": true, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4, "layer_norm_eps": 1e-05, "hidden_act": "gelu",
    "feat_extract_activation": "gelu"})");
}

TEST(DitConfig, IsRead) {
  const TemporaryFolder folder;
  const DitFileConfig config = read_dit_config(folder.write("config.json", dit_json().dump()));
  EXPECT_EQ(config.dim, 64);
  EXPECT_EQ(config.ffn_dim, 160);
  EXPECT_EQ(config.num_heads, 4);
  EXPECT_EQ(config.num_layers, 4);
  EXPECT_EQ(config.audio_dim, 32);
  EXPECT_DOUBLE_EQ(config.eps, 1e-6);
  EXPECT_THAT(config.audio_inject_layers, ElementsAre(0, 2, 3));
  EXPECT_EQ(config.framepack_drop_mode, "padd");
}

TEST(Wav2Vec2Config, IsRead) {
  const TemporaryFolder folder;
  const Wav2Vec2FileConfig config = read_wav2vec2_config(folder.write("config.json", wav2vec2_json().dump()));
  EXPECT_EQ(config.hidden_size, 32);
  EXPECT_EQ(config.num_hidden_layers, 24);
  EXPECT_THAT(config.conv_kernel, ElementsAre(10, 3));
  EXPECT_TRUE(config.conv_bias);
  EXPECT_EQ(config.num_conv_pos_embedding_groups, 4);
}

/// Field, value that isn't allowed, what the message must say.
using BadField = std::tuple<const char*, const char*, const char*>;

class BadDitConfig : public ::testing::TestWithParam<BadField> {};

TEST_P(BadDitConfig, IsRefusedByName) {
  const auto [field, value, reason] = GetParam();
  const TemporaryFolder folder;
  json config = dit_json();
  config[field] = json::parse(value);
  const std::string path = folder.write("config.json", config.dump());
  EXPECT_THAT(input_error([&] { read_dit_config(path); }),
              AllOf(HasSubstr("'" + std::string(field) + "'"), HasSubstr(path), HasSubstr(reason)));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadDitConfig,
    ::testing::Values(
        BadField("model_type", "\"t2v\"", "'t2v'"), BadField("enable_motioner", "true", "without it"),
        BadField("enable_tsm", "true", "without it"), BadField("enable_framepack", "false", "with it"),
        BadField("enable_adain", "false", "with it"), BadField("zero_timestep", "false", "with it"),
        BadField("adain_mode", "\"after_norm\"", "attn_norm"),
        BadField("framepack_drop_mode", "\"drop\"", "padd"), BadField("num_layers", "0", "from 1"),
        BadField("num_layers", "100000", "over"), BadField("num_heads", "-4", "from 1"),
        BadField("dim", "66", "4 heads"), BadField("dim", "18446744073709551615", "from 1"),
        BadField("dim", "64.5", "whole number"), BadField("dim", "null", "whole number"),
        BadField("eps", "0", "above 0"), BadField("audio_inject_layers", "[0, 4]", "layer 4"),
        BadField("audio_inject_layers", "[-1]", "from 0"),
        BadField("audio_inject_layers", "[1, 1]", "ascending"), BadField("audio_inject_layers", "3", "list"),
        BadField("num_heads", "64", "odd size"), BadField("enable_adain", "1", "neither true nor false"),
        BadField("patch_size", "[1, 4, 4]", "[1, 2, 2]")));

class BadWav2Vec2Config : public ::testing::TestWithParam<BadField> {};

TEST_P(BadWav2Vec2Config, IsRefusedByName) {
  const auto [field, value, reason] = GetParam();
  const TemporaryFolder folder;
  json config = wav2vec2_json();
  config[field] = json::parse(value);
  const std::string path = folder.write("config.json", config.dump());
  EXPECT_THAT(input_error([&] { read_wav2vec2_config(path); }),
              AllOf(HasSubstr("'" + std::string(field) + "'"), HasSubstr(reason)));
}

INSTANTIATE_TEST_SUITE_P(Fields, BadWav2Vec2Config,
                         ::testing::Values(BadField("feat_extract_norm", "\"group\"", "layer"),
                                           BadField("do_stable_layer_norm", "false", "with it"),
                                           BadField("hidden_act", "\"relu\"", "gelu"),
                                           BadField("conv_kernel", "[10]", "as long as"),
                                           BadField("conv_stride", "[5, 0]", "from 1"),
                                           BadField("hidden_size", "33", "heads"),
                                           BadField("num_conv_pos_embedding_groups", "5", "divide")));

TEST(Config, RefusesWhatIsNoConfig) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& text) {
    return input_error([&] { read_dit_config(folder.write("config.json", text)); });
  };
  EXPECT_THAT(refused("{"), AllOf(HasSubstr("valid JSON"), HasSubstr("config.json")));
  EXPECT_THAT(refused("[]"), HasSubstr("JSON object"));
  EXPECT_THAT(refused("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"), HasSubstr("deeply"));
  EXPECT_THAT(refused("{}"), AllOf(HasSubstr("'model_type'"), HasSubstr("missing")));
  EXPECT_THAT(input_error([&] { read_dit_config(folder.file("none.json")); }), HasSubstr("none.json"));
}

}  // namespace
}  // namespace latentcast
