#include "config_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string yaml_refusal(const std::string& content) {
  const TempFolder folder;
  const auto file = folder.write("job.yaml", content);
  return refusal([&] { from_yaml(file); });
}

// Every field with a value that isn't its default.
RenderJob full_job() {
  RenderJob job;
  job.ckpt_dir = "/models/ckpt";
  job.prompt = "Says \"hi\": it's # fine,\n\tnew line \\ 你好 &amp; ";
  job.prompt_file = "/p/prompt.txt";
  job.image = "/p/face [1].png";
  job.audio = {"/p/a.wav", "/p/b+c.wav"};
  job.masks = {"/p/a.png", "/p/b.png"};
  job.pose_video = "/p/pose.mkv";
  job.size = "1280*720";
  job.num_clip = 7;
  job.infer_frames = 96;
  job.sample_steps = 8;
  job.sample_shift = 0.1;
  job.sample_solver = "other";
  job.base_seed = 18446744073709551615u;
  job.cond_distance = 30;
  job.task = "true";
  job.load_lora = true;
  job.lora_path_dmd = "Quark-Vision/Live-Avatar";
  job.lora_alpha = 1.0 / 3;
  job.save_file = "/p/out.mp4";
  job.run_dir = "/p/run";
  job.decode = DecodeMode::kBatch;
  job.first_frames = FirstFrames::kDrop;
  job.crf = 0;
  job.device = "cuda";
  job.dtype = "bf16";
  job.threads = 3;
  job.trace = "/p/t.safetensors";
  job.trace_blocks = 2;
  job.trace_inputs = "/p/i.safetensors";
  job.fp8 = true;
  job.attention = "fp8";
  job.kv_dtype = "fp8";
  job.offload_kv_cache = true;
  job.kv_layers_on_device = 3;
  job.offload_condition_cache = true;
  job.offload_decoder_state = true;
  job.num_gpus_dit = 4;
  job.enable_vae_parallel = true;
  job.decoder = "rank";
  job.split = "layers";
  job.shard = "off";
  job.gather = "collective";
  job.layer_partition = "22,18";
  job.timeout = 20;
  return job;
}

TEST(Yaml, RoundTripsEveryField) {
  const TempFolder folder;
  const RenderJob job = full_job();
  // Fields left at their default would prove nothing.
  const auto content = differing_fields(job, RenderJob{}, Identity::kContent);
  const auto run = differing_fields(job, RenderJob{}, Identity::kRun);
  EXPECT_EQ(content.size() + run.size(), 44u);
  const std::string text = to_yaml(job);
  const RenderJob back = from_yaml(folder.write("job.yaml", text));
  EXPECT_EQ(back, job) << text;
  EXPECT_EQ(to_yaml(back), text);
}

TEST(Yaml, RoundTripsDefaults) {
  const TempFolder folder;
  EXPECT_EQ(from_yaml(folder.write("job.yaml", to_yaml(RenderJob{}))), RenderJob{});
  RenderJob job;
  job.prompt = "";
  EXPECT_EQ(from_yaml(folder.write("job.yaml", to_yaml(job))).prompt, "") << "empty, but given";
}

TEST(Yaml, WritesAbsolutePaths) {
  RenderJob job;
  job.image = "face.png";
  EXPECT_THAT(to_yaml(job), HasSubstr("\"" + (std::filesystem::current_path() / "face.png").string() + "\""));
}

TEST(Yaml, TakesPathsRelativeToItsFolder) {
  const TempFolder folder;
  const RenderJob job =
      from_yaml(folder.write("job.yaml",
                             "image: face.png\naudio: a.wav+/abs/b.wav\nmasks: [m/a.png, b.png]\n"
                             "lora_path_dmd: Quark-Vision/Live-Avatar\n"));
  EXPECT_EQ(job.image, folder.path() / "face.png");
  EXPECT_THAT(job.audio, ElementsAre(folder.path() / "a.wav", "/abs/b.wav"));
  EXPECT_THAT(job.masks, ElementsAre(folder.path() / "m/a.png", folder.path() / "b.png"));
  EXPECT_EQ(job.lora_path_dmd, "Quark-Vision/Live-Avatar") << "a name, not a path";
}

TEST(Yaml, TakesNamesWithDashesAndPublicOptions) {
  const TempFolder folder;
  const auto file = folder.write("job.yaml", "num-clip: 2\nulysses_size: 1\nenable_online_decode: true\n");
  const ParsedArgs parsed = parse({"--config", file.string()});
  EXPECT_EQ(parsed.job.num_clip, 2);
  EXPECT_THAT(parsed.notices, ElementsAre(testing::StartsWith("ulysses_size is ignored: ")));
}

TEST(Yaml, NamesFileLineAndKeyOfAMistake) {
  EXPECT_THAT(yaml_refusal("size: 384*256\n\nnum_clips: 3\n"),
              AllOf(HasSubstr("job.yaml:3: num_clips"), HasSubstr("did you mean num_clip?")));
  EXPECT_THAT(yaml_refusal("# comment\nnum_clip: three\n"),
              AllOf(HasSubstr("job.yaml:2: num_clip: expected a whole number"), HasSubstr("'three'")));
  EXPECT_THAT(yaml_refusal("load_lora: perhaps"), HasSubstr("job.yaml:1: load_lora: expected true or false"));
  EXPECT_THAT(yaml_refusal("num_clip: [1, 2]"), HasSubstr("job.yaml:1: num_clip: expected one value"));
  EXPECT_THAT(yaml_refusal("prompt: {a: b}"), HasSubstr("job.yaml:1: prompt: expected one value"));
  EXPECT_THAT(yaml_refusal("audio: [a.wav, [b.wav]]"), HasSubstr("job.yaml:1: audio: expected one value"));
  EXPECT_THAT(yaml_refusal("image:\n"), HasSubstr("job.yaml:1: image: there is no value"));
  EXPECT_THAT(yaml_refusal("crf: 1\ncrf: 2\n"), HasSubstr("job.yaml:2: crf: given twice"));
  EXPECT_THAT(yaml_refusal("decode: live"), HasSubstr("job.yaml:1: decode: expected one of online|batch"));
  EXPECT_THAT(yaml_refusal("enable_tts: true"), HasSubstr("job.yaml:1: enable_tts: is not supported"));
  EXPECT_THAT(yaml_refusal("[a]: b"), HasSubstr("there is no such option"));
  EXPECT_THAT(yaml_refusal("decode: batch\nenable_online_decode: true\n"), HasSubstr("contradict"));
}

TEST(Yaml, RefusesWhatIsNoJob) {
  EXPECT_THAT(yaml_refusal(""), HasSubstr("job.yaml is not a job"));
  EXPECT_THAT(yaml_refusal("just a sentence"), HasSubstr("is not a job"));
  EXPECT_THAT(yaml_refusal("- a\n- b\n"), HasSubstr("is not a job"));
  EXPECT_THAT(yaml_refusal("size: 1\n  broken: [\n"),
              AllOf(HasSubstr("job.yaml:"), HasSubstr("not valid YAML")));
  EXPECT_THAT(refusal([] { from_yaml("/nonexistent/job.yaml"); }), HasSubstr("/nonexistent/job.yaml"));
  EXPECT_THAT(refusal([] { from_yaml("/tmp"); }), HasSubstr("no such file"));
}

TEST(DifferingFields, AreSortedByWhatTheyMeanForARun) {
  RenderJob a, b;
  b.num_clip = 9;
  b.crf = 30;
  b.trace = "t";
  EXPECT_THAT(differing_fields(a, b, Identity::kContent), ElementsAre("crf"));
  EXPECT_THAT(differing_fields(a, b, Identity::kGrows), ElementsAre("num_clip"));
  b.num_gpus_dit = 4;
  b.split = "layers";
  b.timeout = 20;
  EXPECT_THAT(differing_fields(a, b, Identity::kRun),
              ElementsAre("num_gpus_dit", "split", "timeout", "trace"));
  EXPECT_THAT(differing_fields(a, a, Identity::kContent), IsEmpty());
}

}  // namespace
}  // namespace latentcast
