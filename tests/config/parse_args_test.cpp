#include "config_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ParseArgs, GivesDefaultsWithoutArguments) {
  const ParsedArgs parsed = parse({});
  EXPECT_EQ(parsed.job, RenderJob{});
  EXPECT_THAT(parsed.notices, IsEmpty());
  EXPECT_FALSE(parsed.help);
}

TEST(ParseArgs, TakesNamesWithDashesOrUnderlines) {
  for (const std::vector<std::string>& args : {std::vector<std::string>{"--num_clip", "3"},
                                               {"--num-clip", "3"},
                                               {"--num_clip=3"},
                                               {"--num-clip=3"}}) {
    EXPECT_EQ(parse(args).job.num_clip, 3) << args[0];
  }
  EXPECT_EQ(parse({"--prompt=a-b_c=d"}).job.prompt, "a-b_c=d") << "values stay as they are";
  EXPECT_EQ(parse({"--save-file", "my-video.mp4"}).job.save_file, "my-video.mp4");
}

TEST(ParseArgs, ReadsEveryType) {
  const RenderJob job = parse({"--sample_shift",
                               "2.5",
                               "--base_seed",
                               "18446744073709551615",
                               "--load_lora",
                               "--lora_alpha",
                               "64",
                               "--audio",
                               "a.wav+b.mp3",
                               "--masks",
                               "a.png+b.png",
                               "--decode",
                               "batch",
                               "--first_frames",
                               "drop",
                               "--device",
                               "cpu",
                               "--dtype",
                               "float32",
                               "--size",
                               "384*256",
                               "--cond_distance",
                               "17",
                               "--prompt",
                               ""})
                            .job;
  EXPECT_EQ(job.sample_shift, 2.5);
  EXPECT_EQ(job.base_seed, 18446744073709551615u);
  EXPECT_TRUE(job.load_lora);
  EXPECT_EQ(job.lora_alpha, 64);
  EXPECT_THAT(job.audio, ElementsAre("a.wav", "b.mp3"));
  EXPECT_THAT(job.masks, ElementsAre("a.png", "b.png"));
  EXPECT_EQ(job.decode, DecodeMode::kBatch);
  EXPECT_EQ(job.first_frames, FirstFrames::kDrop);
  EXPECT_EQ(job.device, "cpu");
  EXPECT_EQ(job.dtype, "float32");
  EXPECT_EQ(job.size, "384*256");
  EXPECT_EQ(job.cond_distance, 17);
  EXPECT_EQ(job.prompt, "") << "empty, but given";
  EXPECT_EQ(parse({"--prompt="}).job.prompt, "");
  EXPECT_EQ(parse({"--prompt=-dash first"}).job.prompt, "-dash first");
}

TEST(ParseArgs, DrawsASeedOnlyForMinusOne) {
  EXPECT_EQ(parse({"--base_seed", "-1"}).job.base_seed, std::nullopt);
  EXPECT_EQ(parse({"--base_seed=0"}).job.base_seed, 0u);
  EXPECT_THAT(parse_refusal({"--base_seed", "-2"}), HasSubstr("--base_seed: expected"));
}

TEST(ParseArgs, TakesTheLastOfRepeatedOptions) {
  EXPECT_EQ(parse({"--num_clip", "3", "--num_clip", "4"}).job.num_clip, 4);
  EXPECT_TRUE(parse({"--load_lora", "--load_lora"}).job.load_lora);
  EXPECT_FALSE(parse({"--load_lora=false"}).job.load_lora);
}

TEST(ParseArgs, TakesAFileWithAPlusInItsName) {
  const TempFolder folder;
  const std::string file = folder.write("a+b.wav").string();
  EXPECT_THAT(parse({"--audio", file}).job.audio, ElementsAre(file));
}

TEST(ParseArgs, RefusesWrongValues) {
  EXPECT_THAT(parse_refusal({"--num_clip", "three"}), AllOf(HasSubstr("--num_clip"), HasSubstr("'three'")));
  EXPECT_THAT(parse_refusal({"--num_clip", "3.5"}), HasSubstr("whole number"));
  EXPECT_THAT(parse_refusal({"--num_clip", "99999999999"}), HasSubstr("whole number"));
  EXPECT_THAT(parse_refusal({"--sample_shift", "nan"}), HasSubstr("--sample_shift: expected a number"));
  EXPECT_THAT(parse_refusal({"--sample_shift", "3x"}), HasSubstr("expected a number"));
  EXPECT_THAT(parse_refusal({"--decode", "live"}), HasSubstr("one of online|batch"));
  EXPECT_THAT(parse_refusal({"--device", "tpu"}), HasSubstr("one of auto|cpu|cuda"));
  EXPECT_THAT(parse_refusal({"--audio", "a.wav+"}), HasSubstr("--audio"));
  EXPECT_THAT(parse_refusal({"--image", ""}), HasSubstr("--image"));
  EXPECT_THAT(parse_refusal({"--fp8=perhaps"}), HasSubstr("--fp8: expected true or false"));
  EXPECT_THAT(parse_refusal({"--num_clip"}), HasSubstr("--num_clip"));
}

TEST(ParseArgs, SuggestsTheNearestName) {
  EXPECT_THAT(parse_refusal({"--num-clips", "3"}),
              AllOf(HasSubstr("--num_clips"), HasSubstr("mean --num_clip?")));
  EXPECT_THAT(parse_refusal({"--imgae", "x"}), HasSubstr("did you mean --image?"));
  EXPECT_THAT(parse_refusal({"--xyzzy_plugh_42"}),
              AllOf(HasSubstr("Unknown option"), Not(HasSubstr("did you mean"))));
  EXPECT_THAT(parse_refusal({"portrait.png"}), HasSubstr("Unexpected argument 'portrait.png'"));
}

// The published five-GPU script's command line, as it stands.
TEST(ParseArgs, TakesThePublicCommandLine) {
  const ParsedArgs parsed = parse({"--ulysses_size",
                                   "1",
                                   "--task",
                                   "s2v-14B",
                                   "--size",
                                   "720*400",
                                   "--base_seed",
                                   "420",
                                   "--training_config",
                                   "liveavatar/configs/s2v_causal_sft.yaml",
                                   "--offload_model",
                                   "False",
                                   "--convert_model_dtype",
                                   "--prompt",
                                   "A dwarf in his forge.",
                                   "--image",
                                   "dwarf.jpg",
                                   "--audio",
                                   "dwarf.wav",
                                   "--infer_frames",
                                   "48",
                                   "--load_lora",
                                   "--lora_path_dmd",
                                   "Quark-Vision/Live-Avatar",
                                   "--sample_steps",
                                   "4",
                                   "--sample_guide_scale",
                                   "0",
                                   "--num_clip",
                                   "10000",
                                   "--num_gpus_dit",
                                   "4",
                                   "--sample_solver",
                                   "euler",
                                   "--enable_vae_parallel",
                                   "--ckpt_dir",
                                   "ckpt/Wan2.2-S2V-14B/",
                                   "--fp8",
                                   "--enable_online_decode"});
  EXPECT_EQ(parsed.job.num_clip, 10000);
  EXPECT_EQ(parsed.job.base_seed, 420u);
  EXPECT_EQ(parsed.job.lora_path_dmd, "Quark-Vision/Live-Avatar");
  EXPECT_EQ(parsed.job.decode, DecodeMode::kOnline);
  EXPECT_TRUE(parsed.job.fp8);
  EXPECT_EQ(parsed.job.num_gpus_dit, 4);
  EXPECT_TRUE(parsed.job.enable_vae_parallel);
  const std::vector<const char*> ignored = {"--ulysses_size", "--training_config", "--offload_model",
                                            "--convert_model_dtype", "--sample_guide_scale"};
  for (const char* name : ignored) {
    EXPECT_THAT(parsed.notices,
                testing::Contains(AllOf(testing::StartsWith(name), HasSubstr(" is ignored: "))));
  }
  EXPECT_EQ(parsed.notices.size(), ignored.size());
}

TEST(ParseArgs, TakesWhatRanksDo) {
  const ParsedArgs parsed = parse({"--decoder", "stream", "--split", "layers", "--shard=off", "--gather",
                                   "collective", "--layer_partition", "22,18", "--timeout", "20"});
  EXPECT_EQ(parsed.job.decoder, "stream");
  EXPECT_EQ(parsed.job.split, "layers");
  EXPECT_EQ(parsed.job.shard, "off");
  EXPECT_EQ(parsed.job.gather, "collective");
  EXPECT_THAT(given_partition(parsed.job), testing::ElementsAre(22, 18));
  EXPECT_THAT(given_partition(parse({}).job), IsEmpty());
  EXPECT_EQ(parsed.job.timeout, 20);
  EXPECT_THAT(parsed.notices, IsEmpty());
  EXPECT_EQ(parse({}).job.timeout, 300);
  EXPECT_THAT(parse_refusal({"--split", "tokens"}),
              HasSubstr("--split: expected one of auto|timestep|layers"));
  EXPECT_THAT(parse_refusal({"--decoder", "none"}), HasSubstr("one of auto|rank|stream"));
  EXPECT_THAT(parse_refusal({"--shard"}), HasSubstr("--shard"));
}

TEST(ParseArgs, RefusesWhatItCannotDo) {
  for (const std::vector<std::string>& args : {std::vector<std::string>{"--enable_tts"},
                                               {"--use_prompt_extend"},
                                               {"--use_dataset"},
                                               {"--start_from_ref"},
                                               {"--drop_motion_noisy"},
                                               {"--ulysses_size", "2"},
                                               {"--sample_guide_scale", "4.5"},
                                               {"--sample_guide_scale", "x"}}) {
    EXPECT_THAT(parse_refusal(args), AllOf(testing::StartsWith(args[0] + ": "), HasSubstr("not supported")));
  }
  EXPECT_EQ(parse({"--enable_tts=false"}).notices.size(), 1u) << "not asked for";
  EXPECT_EQ(parse({"--sample_guide_scale", "1.0"}).notices.size(), 1u);
}

TEST(ParseArgs, KnowsEveryPublicOption) {
  for (const char* name : {"task",
                           "size",
                           "frame_num",
                           "ckpt_dir",
                           "offload_model",
                           "ulysses_size",
                           "t5_fsdp",
                           "t5_cpu",
                           "dit_fsdp",
                           "save_file",
                           "save_dir",
                           "prompt",
                           "use_prompt_extend",
                           "prompt_extend_method",
                           "prompt_extend_model",
                           "prompt_extend_target_lang",
                           "base_seed",
                           "image",
                           "sample_solver",
                           "sample_steps",
                           "sample_shift",
                           "sample_guide_scale",
                           "convert_model_dtype",
                           "num_clip",
                           "audio",
                           "enable_tts",
                           "tts_prompt_audio",
                           "tts_prompt_text",
                           "tts_text",
                           "pose_video",
                           "start_from_ref",
                           "infer_frames",
                           "load_lora",
                           "lora_path",
                           "lora_path_dmd",
                           "training_config",
                           "use_dataset",
                           "dataset_sample_idx",
                           "drop_motion_noisy",
                           "single_gpu",
                           "using_merged_ckpt",
                           "num_gpus_dit",
                           "enable_vae_parallel",
                           "offload_kv_cache",
                           "enable_online_decode",
                           "fp8",
                           "prompt_file"}) {
    EXPECT_THAT(parse_refusal({std::string("--") + name, "1"}), Not(HasSubstr("Unknown option"))) << name;
  }
}

TEST(ParseArgs, LetsOnlineDecodingBeAskedForTwice) {
  EXPECT_EQ(parse({"--enable_online_decode", "--decode", "online"}).job.decode, DecodeMode::kOnline);
  EXPECT_THAT(parse_refusal({"--enable_online_decode", "--decode", "batch"}), HasSubstr("contradict"));
}

TEST(ParseArgs, ShowsHelpWhateverElseIsWrong) {
  EXPECT_TRUE(parse({"--help"}).help);
  EXPECT_TRUE(parse({"-h", "--no-such-option"}).help);
}

TEST(ParseArgs, FlagsWinOverTheJobFile) {
  const TempFolder folder;
  const std::string file = folder
                               .write("job.yaml",
                                      "num_clip: 3\nload_lora: true\nprompt: from the file\nsize: 384*256\n"
                                      "decode: batch\nimage: face.png\n")
                               .string();
  const RenderJob job =
      parse({"--num_clip", "5", "--config", file, "--load_lora=false", "--image", "other.png"}).job;
  EXPECT_EQ(job.num_clip, 5);
  EXPECT_FALSE(job.load_lora);
  EXPECT_EQ(job.prompt, "from the file");
  EXPECT_EQ(job.size, "384*256");
  EXPECT_EQ(job.decode, DecodeMode::kBatch);
  EXPECT_EQ(job.image, "other.png") << "relative to where the command was given";
  EXPECT_EQ(parse({"--config", file, "--enable_online_decode"}).job.decode, DecodeMode::kOnline);
  const RenderJob other = parse({"--config", file, "--prompt_file", "p.txt"}).job;
  EXPECT_EQ(other.prompt, std::nullopt) << "a prompt by flag replaces the file's";
  EXPECT_EQ(other.prompt_file, "p.txt");
}

}  // namespace
}  // namespace latentcast
