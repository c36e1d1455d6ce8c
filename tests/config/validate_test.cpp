#include <functional>

#include "config_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kCheckpoint[] = {
    "config.json",
    "diffusion_pytorch_model.safetensors",
    "Wan2.1_VAE.pth",
    "models_t5_umt5-xxl-enc-bf16.pth",
    "google/umt5-xxl/tokenizer.json",
    "wav2vec2-large-xlsr-53-english/config.json",
    "wav2vec2-large-xlsr-53-english/model.safetensors",
};

class Validate : public testing::Test {
 protected:
  Validate() {
    for (const char* name : kCheckpoint) folder_.write(std::string("ckpt/") + name);
    job_.ckpt_dir = folder_.path() / "ckpt";
    job_.image = folder_.write("face.png");
    job_.audio = {folder_.write("a.wav")};
    job_.prompt = "a person";
  }

  // What is said about the good job once it is changed.
  std::string refused(const std::function<void(RenderJob&)>& change) const {
    RenderJob job = job_;
    change(job);
    return refusal([&] { validate(job); });
  }
  std::vector<std::string> warned(const std::function<void(RenderJob&)>& change) const {
    RenderJob job = job_;
    change(job);
    return validate(job);
  }
  std::filesystem::path in(const char* name) const { return folder_.path() / name; }

  TempFolder folder_;
  RenderJob job_;
};

TEST_F(Validate, AcceptsAGoodJobSilently) {
  const RenderJob before = job_;
  EXPECT_THAT(validate(job_), IsEmpty());
  EXPECT_EQ(job_, before);
}

TEST_F(Validate, ListsEverythingThatIsMissing) {
  EXPECT_THAT(refused([](RenderJob& j) { j = {}; }), AllOf(HasSubstr("--ckpt_dir"), HasSubstr("--image"),
                                                           HasSubstr("--audio"), HasSubstr("--prompt")));
  EXPECT_THAT(refused([](RenderJob& j) { j.prompt.reset(); }),
              HasSubstr("Missing: --prompt (or --prompt_file)"));
  EXPECT_THAT(warned([](RenderJob& j) { j.prompt = ""; }), IsEmpty()) << "an empty prompt that is given";
  EXPECT_THAT(refused([this](RenderJob& j) { j.prompt_file = j.image; }), HasSubstr("both given"));
}

TEST_F(Validate, NamesFilesThatAreNotThere) {
  const auto gone = in("gone");
  EXPECT_THAT(refused([&](RenderJob& j) { j.image = gone; }),
              AllOf(HasSubstr("--image"), HasSubstr(gone.string())));
  EXPECT_THAT(refused([&](RenderJob& j) { j.audio = {gone}; }),
              AllOf(HasSubstr("--audio"), HasSubstr(gone.string())));
  EXPECT_THAT(refused([&](RenderJob& j) { j.pose_video = gone; }), HasSubstr("--pose_video"));
  EXPECT_THAT(refused([&](RenderJob& j) { j.ckpt_dir = gone; }), HasSubstr("--ckpt_dir: there is no folder"));
  EXPECT_THAT(refused([&](RenderJob& j) { j.image = folder_.path(); }), HasSubstr("is a folder"));
  EXPECT_THAT(refused([&](RenderJob& j) {
                j.prompt.reset();
                j.prompt_file = gone;
              }),
              HasSubstr("--prompt_file"));
}

TEST_F(Validate, ListsTheFilesThatACheckpointLacks) {
  for (const char* name : kCheckpoint) {
    const auto file = job_.ckpt_dir / name;
    std::filesystem::rename(file, in("aside"));
    EXPECT_THAT(refused([](RenderJob&) {}), AllOf(HasSubstr("lacks"), HasSubstr(name)));
    std::filesystem::rename(in("aside"), file);
  }
  EXPECT_THAT(refused([this](RenderJob& j) { j.ckpt_dir = folder_.path(); }),
              AllOf(HasSubstr("config.json"), HasSubstr("Wan2.1_VAE.pth"), HasSubstr("tokenizer.json")));
}

TEST_F(Validate, KnowsCheckpointsInPartsAndOlderSpeechModels) {
  std::filesystem::remove(job_.ckpt_dir / "diffusion_pytorch_model.safetensors");
  folder_.write("ckpt/diffusion_pytorch_model.safetensors.index.json",
                R"({"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}})");
  folder_.write("ckpt/part-1.safetensors");
  EXPECT_THAT(refused([](RenderJob&) {}), AllOf(HasSubstr("part-2.safetensors"), Not(HasSubstr("part-1"))));
  folder_.write("ckpt/part-2.safetensors");
  std::filesystem::rename(job_.ckpt_dir / "wav2vec2-large-xlsr-53-english/model.safetensors",
                          job_.ckpt_dir / "wav2vec2-large-xlsr-53-english/pytorch_model.bin");
  EXPECT_THAT(validate(job_), IsEmpty());
}

TEST_F(Validate, RefusesClipsOfOddLengthsAndNamesTheNearest) {
  const auto frames = [this](int n) { return refused([n](RenderJob& j) { j.infer_frames = n; }); };
  EXPECT_THAT(frames(50),
              AllOf(HasSubstr("multiple of 12"), HasSubstr("nearest is 48"), HasSubstr("loses latents")));
  EXPECT_THAT(frames(80), HasSubstr("nearest is 84"));
  EXPECT_THAT(frames(0), HasSubstr("nearest is 12"));
  EXPECT_THAT(frames(-48), HasSubstr("nearest is 12"));
  EXPECT_THAT(frames(2147483647), HasSubstr("nearest is 2147483652"));
  EXPECT_THAT(warned([](RenderJob& j) { j.infer_frames = 36; }), ElementsAre(HasSubstr("flicker")));
  EXPECT_THAT(warned([](RenderJob& j) { j.infer_frames = 60; }), IsEmpty());
}

TEST_F(Validate, ChecksNumbers) {
  EXPECT_THAT(refused([](RenderJob& j) { j.num_clip = 0; }), HasSubstr("--num_clip"));
  EXPECT_THAT(refused([](RenderJob& j) { j.sample_steps = 0; }), HasSubstr("--sample_steps"));
  EXPECT_THAT(refused([](RenderJob& j) { j.sample_steps = 1001; }), HasSubstr("--sample_steps"));
  EXPECT_THAT(warned([](RenderJob& j) { j.sample_steps = 3; }), ElementsAre(HasSubstr("flicker")));
  EXPECT_THAT(refused([](RenderJob& j) { j.sample_shift = 0; }), HasSubstr("--sample_shift"));
  EXPECT_THAT(refused([](RenderJob& j) { j.sample_shift = HUGE_VAL; }), HasSubstr("--sample_shift"));
  EXPECT_THAT(refused([](RenderJob& j) { j.crf = 52; }), HasSubstr("between 0 and 51"));
  EXPECT_THAT(refused([](RenderJob& j) { j.crf = -1; }), HasSubstr("--crf"));
  EXPECT_THAT(refused([](RenderJob& j) { j.cond_distance = 3; }), HasSubstr("between 4 and 30"));
  EXPECT_THAT(refused([](RenderJob& j) { j.cond_distance = 31; }), HasSubstr("--cond_distance"));
  EXPECT_THAT(refused([](RenderJob& j) { j.threads = -1; }), HasSubstr("--threads"));
  EXPECT_THAT(refused([](RenderJob& j) { j.size = "huge"; }), HasSubstr("--size"));
  EXPECT_THAT(refused([](RenderJob& j) { j.sample_solver = "unipc"; }), HasSubstr("There is: euler"));
  EXPECT_THAT(refused([](RenderJob& j) { j.task = "t2v-A14B"; }), HasSubstr("There is: s2v-14B"));
  EXPECT_THAT(refused([](RenderJob& j) { j.trace_blocks = 0; }), HasSubstr("--trace_blocks"));
  EXPECT_THAT(refused([](RenderJob& j) { j.lora_alpha = 0; }), HasSubstr("--lora_alpha"));
}

TEST_F(Validate, ChecksWhatRanksDo) {
  EXPECT_THAT(refused([](RenderJob& j) { j.num_gpus_dit = 0; }), HasSubstr("--num_gpus_dit"));
  EXPECT_THAT(refused([](RenderJob& j) { j.timeout = 0; }), HasSubstr("--timeout"));
  EXPECT_THAT(refused([](RenderJob& j) { j.split = "tokens"; }),
              HasSubstr("There is: auto, timestep, layers"));
  EXPECT_THAT(refused([](RenderJob& j) { j.shard = "true"; }), HasSubstr("--shard"));
  EXPECT_THAT(refused([](RenderJob& j) { j.gather = "nccl"; }), HasSubstr("--gather"));
  for (const char* partition : {"", "half", "22,", "22,0", "22;18", "-1,41"}) {
    EXPECT_THAT(refused([&](RenderJob& j) { j.layer_partition = partition; }),
                HasSubstr("--layer_partition: '" + std::string(partition) + "'"));
  }
  EXPECT_THAT(refused([](RenderJob& j) {
                j.enable_vae_parallel = true;
                j.decoder = "stream";
              }),
              HasSubstr("--enable_vae_parallel and --decoder stream contradict"));
  EXPECT_THAT(warned([](RenderJob& j) {
                j.enable_vae_parallel = true;
                j.decoder = "rank";
                j.num_gpus_dit = 4;
              }),
              IsEmpty());
}

TEST_F(Validate, WantsAMaskForEverySpeaker) {
  const auto second = folder_.write("b.wav"), mask1 = folder_.write("m1.png"),
             mask2 = folder_.write("m2.png");
  EXPECT_THAT(refused([&](RenderJob& j) { j.masks = {mask1}; }), HasSubstr("several speakers"));
  EXPECT_THAT(refused([&](RenderJob& j) { j.audio.push_back(second); }), HasSubstr("need 2 masks, got 0"));
  job_.audio.push_back(second);
  EXPECT_THAT(refused([&](RenderJob& j) { j.masks = {mask1}; }), HasSubstr("need 2 masks, got 1"));
  EXPECT_THAT(warned([&](RenderJob& j) { j.masks = {mask1, mask2}; }), IsEmpty());
}

TEST_F(Validate, FindsTheLora) {
  EXPECT_THAT(refused([](RenderJob& j) { j.load_lora = true; }), HasSubstr("liveavatar.safetensors"));
  job_.load_lora = true;
  EXPECT_THAT(refused([](RenderJob& j) { j.lora_path_dmd = "Quark-Vision/Live-Avatar"; }),
              HasSubstr("download it"));
  const auto file = folder_.write("ckpt/liveavatar.safetensors");
  RenderJob job = job_;
  EXPECT_THAT(validate(job), IsEmpty());
  EXPECT_EQ(job.lora_path_dmd, file);
  job = job_;
  job.lora_path_dmd = "Quark-Vision/Live-Avatar";
  EXPECT_THAT(validate(job), ElementsAre(HasSubstr(file.string())));
  EXPECT_EQ(job.lora_path_dmd, file);
  job.lora_path_dmd = job.ckpt_dir;
  EXPECT_THAT(validate(job), IsEmpty());
  EXPECT_EQ(job.lora_path_dmd, file) << "a folder that holds it";
  EXPECT_THAT(refused([this](RenderJob& j) { j.lora_path_dmd = in("gone.safetensors"); }),
              HasSubstr("gone.safetensors"));
  job_.load_lora = false;
  EXPECT_THAT(warned([&](RenderJob& j) { j.lora_path_dmd = file; }), ElementsAre(HasSubstr("not used")));
}

TEST_F(Validate, ChecksWhereResultsGo) {
  EXPECT_THAT(refused([this](RenderJob& j) { j.save_file = in("no/such/out.mp4"); }),
              HasSubstr("--save_file"));
  EXPECT_THAT(refused([this](RenderJob& j) { j.save_file = folder_.path(); }), HasSubstr("is a folder"));
  EXPECT_THAT(refused([this](RenderJob& j) { j.trace = in("no/t.safetensors"); }), HasSubstr("--trace"));
  EXPECT_THAT(refused([this](RenderJob& j) { j.run_dir = j.image; }), HasSubstr("--run_dir"));
  EXPECT_THAT(warned([this](RenderJob& j) {
                j.save_file = in("out.mp4");
                j.trace = in("t.safetensors");
                j.run_dir = in("new/run");
              }),
              IsEmpty());
}

TEST_F(Validate, ReadsThePromptFile) {
  job_.prompt.reset();
  job_.prompt_file = folder_.write("prompt.txt", "two\nlines\n");
  EXPECT_EQ(prompt_text(job_), "two\nlines\n");
  job_.prompt_file = folder_.path();
  EXPECT_THAT(refusal([this] { prompt_text(job_); }), HasSubstr("can't read"));
}

TEST_F(Validate, ChoosesWhatIsLeftOpenOnce) {
  RenderJob job = job_;
  job.prompt = "A calm presenter: \xE4\xBD\xA0, ../ speaks to the camera in a bright studio";
  choose_unset(job, "20260102_030405");
  ASSERT_TRUE(job.base_seed);
  EXPECT_GE(job.threads, 1);
  EXPECT_LE(job.threads, 8);
  EXPECT_EQ(job.run_dir, "output/20260102_030405_A_calm_presenter_speaks_to_the_camera_in_a_bright");
  const RenderJob again = job;
  choose_unset(job, "later");
  EXPECT_EQ(job, again);
  RenderJob saved = job_;
  saved.save_file = "/videos/talk.mp4";
  choose_unset(saved, "t");
  EXPECT_EQ(saved.run_dir, "/videos/talk.run");
  RenderJob chinese = job_;
  chinese.prompt = "\xE4\xBD\xA0\xE5\xA5\xBD";
  choose_unset(chinese, "t");
  EXPECT_EQ(chinese.run_dir, "output/t");
}

}  // namespace
}  // namespace latentcast
