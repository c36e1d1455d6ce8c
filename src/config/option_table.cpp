#include "option_table.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "option_value.h"

namespace latentcast {
namespace {

using J = RenderJob;
constexpr auto kPublic = Origin::kPublic;
constexpr auto kOurs = Origin::kOurs;
constexpr auto kContent = Identity::kContent;
constexpr auto kRun = Identity::kRun;

// clang-format off
constexpr Option kOptions[] = {
    {"ckpt_dir", &J::ckpt_dir, "DIR", "Folder of the checkpoint, as published (docs/files.md). Required.",
     Group::kInputs, kPublic, kContent},
    {"prompt", &J::prompt, "TEXT", "What is to be seen. Required, unless --prompt_file is given.",
     Group::kInputs, kPublic, kContent},
    {"prompt_file", &J::prompt_file, "FILE", "A UTF-8 text file that holds the prompt.",
     Group::kInputs, kOurs, kContent},
    {"image", &J::image, "FILE", "Picture of the speaker. Required.", Group::kInputs, kPublic, kContent},
    {"audio", &J::audio, "FILE[+FILE...]", "Speech; several speakers: one file each, joined by +. Required.",
     Group::kInputs, kPublic, kContent},
    {"masks", &J::masks, "FILE[+FILE...]",
     "Several speakers: where each of them is, one picture each in the order of --audio (brighter than black: inside).",
     Group::kInputs, kOurs, kContent},
    {"pose_video", &J::pose_video, "FILE", "Video of poses to follow.", Group::kInputs, kPublic, kContent},

    {"size", &J::size, "W*H", "Area of the video in pixels; its shape is the picture's, both sides multiples of 64.",
     Group::kRendering, kPublic, kContent},
    {"num_clip", &J::num_clip, "N", "Clips to render at most. A larger number extends a finished run.",
     Group::kRendering, kPublic, Identity::kGrows, "as many as the sound needs"},
    {"infer_frames", &J::infer_frames, "N", "Frames a clip, a multiple of 12. Under 48 the picture flickers.",
     Group::kRendering, kPublic, kContent},
    {"sample_steps", &J::sample_steps, "N", "Denoising steps. Under 4 the picture flickers.",
     Group::kRendering, kPublic, kContent},
    {"sample_shift", &J::sample_shift, "X", "Shift of the flow-matching schedule.",
     Group::kRendering, kPublic, kContent},
    {"sample_solver", &J::sample_solver, "NAME", "Solver; there is only euler.", Group::kRendering, kPublic, kContent},
    {"base_seed", &J::base_seed, "N", "Seed of the noise; -1 draws one, which job.yaml in the run directory keeps.",
     Group::kRendering, kPublic, kContent, "drawn"},
    {"cond_distance", &J::cond_distance, "N",
     "Distance between the picture's position and the block's, 4 to 30, instead of one drawn for every step.",
     Group::kRendering, kOurs, kContent, "drawn for every step"},
    {"task", &J::task, "NAME", "Model; there is only s2v-14B.", Group::kRendering, kPublic, kContent},

    {"load_lora", &J::load_lora, "", "Merge the LoRA into the weights.", Group::kWeights, kPublic, kContent},
    {"lora_path_dmd", &J::lora_path_dmd, "FILE",
     "File of the LoRA, a folder that holds liveavatar.safetensors, or the public name Quark-Vision/Live-Avatar.",
     Group::kWeights, kPublic, kContent, "liveavatar.safetensors of the checkpoint"},
    {"lora_alpha", &J::lora_alpha, "X", "Alpha of the LoRA.", Group::kWeights, kOurs, kContent, "half its rank"},

    {"save_file", &J::save_file, "FILE", "Where the video goes.", Group::kVideo, kPublic, kRun,
     "video.mp4 in the run directory"},
    {"run_dir", &J::run_dir, "DIR", "Folder of the run: its job, checkpoints, segments and logs.",
     Group::kVideo, kOurs, kRun, "beside --save_file, else output/TIME_PROMPT"},
    {"decode", &J::decode, "online|batch", "Decode every block as it comes, or a clip in one call (more memory).",
     Group::kVideo, kOurs, kContent},
    {"first_frames", &J::first_frames, "hold|drop",
     "The first 3 frames can't be used: hold the fourth for them, or drop them (then the sound lags 0.12 s, as publicly).",
     Group::kVideo, kOurs, kContent},
    {"crf", &J::crf, "N", "Quality of H.264, 0 (lossless) to 51.", Group::kVideo, kOurs, kContent},

    {"device", &J::device, "auto|cpu|cuda", "What computes.", Group::kComputing, kOurs, kContent},
    {"dtype", &J::dtype, "auto|float32|bf16", "Type of the weights; auto: bf16 on a GPU, float32 on a CPU.",
     Group::kComputing, kOurs, kContent},
    {"threads", &J::threads, "N", "Threads a rank; part of the job, since results on a CPU depend on it.",
     Group::kComputing, kOurs, kContent, "physical cores, at most 8"},
    {"fp8", &J::fp8, "",
     "The transformer's layers in 8 bits (e4m3): half their memory, faster on GPUs that compute in it, less exact.",
     Group::kComputing, kPublic, kContent},
    {"attention", &J::attention, "auto|fp8",
     "Self-attention of the denoising passes. fp8: in 8 bits on a Hopper GPU (queries and keys int8, weights and values e4m3), whose caches hold what it reads: faster, half the caches' memory, less exact; auto: the weights' type.",
     Group::kComputing, kOurs, kContent},
    {"kv_dtype", &J::kv_dtype, "auto|fp8",
     "Type of the attention caches. fp8: e4m3 with a scale for each row: half their memory and what moves of them, less exact; auto: the weights'.",
     Group::kComputing, kOurs, kContent},
    {"offload_kv_cache", &J::offload_kv_cache, "",
     "Keep the attention caches in host memory; each layer's are fetched and written back beside the computing. The same bytes.",
     Group::kComputing, kPublic, kRun},
    {"kv_layers_on_device", &J::kv_layers_on_device, "N",
     "With --offload_kv_cache: so many of a rank's layers keep their caches on the device.",
     Group::kComputing, kOurs, kRun},
    {"kv_buffers", &J::kv_buffers, "N",
     "Caches in host memory or in 8 bits: buffers on the device (0.3 GB each at 704*384) that layers take turns in, 1 to 3. With fewer, fetching and writing back wait for the computing.",
     Group::kComputing, kOurs, kRun},
    {"offload_condition_cache", &J::offload_condition_cache, "",
     "With --offload_kv_cache: the condition's keys and values (2.2 GB at 704*384) in host memory too.",
     Group::kComputing, kOurs, kRun},
    {"offload_decoder_state", &J::offload_decoder_state, "",
     "Keep what the decoder remembers (1.3 GB at 704*384) in host memory between blocks, and decode in turn with the transformer instead of beside it, so that both use the same memory. The same bytes.",
     Group::kComputing, kOurs, kRun},
    {"offload_audio_encoder", &J::offload_audio_encoder, "",
     "Keep the weights that make a block's audio tokens (0.36 GB) in host memory; they are fetched for each block. The same bytes.",
     Group::kComputing, kOurs, kRun},
    {"vram", &J::vram, "GB",
     "What each rank may take of its GPU at most, in GiB, as nvidia-smi shows it. The cheapest means that fit are chosen and printed as options; options that are given stay (docs/memory.md).",
     Group::kComputing, kOurs, kRun, "all there is"},

    {"num_gpus_dit", &J::num_gpus_dit, "N", "Ranks that the transformer is divided over, one GPU each (docs/ranks.md).",
     Group::kRanks, kPublic, kRun, "all, or all but a decode rank"},
    {"enable_vae_parallel", &J::enable_vae_parallel, "", "Decode on a rank of its own; the same as --decoder rank.",
     Group::kRanks, kPublic, kRun},
    {"decoder", &J::decoder, "auto|rank|stream",
     "Where blocks are decoded: on a rank of its own, or beside the transformer on its last rank; auto: the faster.",
     Group::kRanks, kOurs, kRun},
    {"split", &J::split, "auto|timestep|layers",
     "How the transformer is divided: a rank has some denoising steps, or some layers; auto: the faster.",
     Group::kRanks, kOurs, kRun},
    {"layer_partition", &J::layer_partition, "N,N,...",
     "By layers: how many each stage has, or balanced (by their cost, the decoder's counted in), or even.",
     Group::kRanks, kOurs, kRun},
    {"shard", &J::shard, "auto|on|off",
     "By timestep: each rank keeps a share of the weights, and layers are gathered as they are needed; auto: off.",
     Group::kRanks, kOurs, kRun},
    {"gather", &J::gather, "auto|collective",
     "auto: GPUs of one host read one another's memory by copy engines: sharded layers, and what is passed on; else NCCL or MPI moves them; collective: NCCL or MPI anyway.",
     Group::kRanks, kOurs, kRun},
    {"timeout", &J::timeout, "SECONDS", "How long ranks wait for one that makes no progress before all of them end.",
     Group::kRanks, kOurs, kRun},

    {"checkpoint", &J::checkpoint, "exact|light",
     "What a checkpoint holds. exact: all caches (31 GB at 704*384), continues to the same bytes. light: the last clips' latents (some MB), continues without a seam, but not to the same bytes.",
     Group::kProgress, kOurs, kRun},
    {"checkpoint_minutes", &J::checkpoint_minutes, "X", "Minutes between checkpoints; 0: none by time.",
     Group::kProgress, kOurs, kRun},
    {"checkpoint_clips", &J::checkpoint_clips, "N", "Also a checkpoint after every N clips.",
     Group::kProgress, kOurs, kRun, "none by clips"},
    {"max_hours", &J::max_hours, "X",
     "Stop at the end of the clip at hand once this much time has passed, with a checkpoint and exit code 75.",
     Group::kProgress, kOurs, kRun, "no limit"},

    {"trace", &J::trace, "FILE", "Write every intermediate tensor to this safetensors file.",
     Group::kTracing, kOurs, kRun, "none"},
    {"trace_blocks", &J::trace_blocks, "N", "Only the first N blocks of it.", Group::kTracing, kOurs, kRun, "all"},
    {"trace_inputs", &J::trace_inputs, "FILE",
     "Give every step the input latents of this trace instead of the step before's: shows each step's own error.",
     Group::kTracing, kOurs, kContent, "none"},
};

bool unless_asked(std::string_view value) { return value == "false"; }
bool is_one(std::string_view value) { return value == "1"; }
bool no_guidance(std::string_view value) {
  const auto scale = parse_number(value);
  return scale && (*scale == 0 || *scale == 1);
}

constexpr std::string_view kMemory = "what fits the device is kept there";
constexpr std::string_view kNoSpeech = "bring the speech as a file with --audio";
constexpr std::string_view kNoExtension = "write the prompt out in --prompt";

constexpr PublicOption kPublicOptions[] = {
    {"convert_model_dtype", "", "--dtype says the type of the weights"},
    {"dataset_sample_idx", "N", "give the inputs with --image, --audio and --prompt"},
    {"dit_fsdp", "", "--shard on divides the weights over the ranks"},
    {"drop_motion_noisy", "", "the motion latents are always used", unless_asked},
    {"enable_online_decode", "", "the same as --decode online", nullptr, true},
    {"enable_tts", "", kNoSpeech, unless_asked},
    {"frame_num", "N", "--num_clip and --infer_frames say how long the video is"},
    {"lora_path", "FILE", "--lora_path_dmd names the LoRA"},
    {"offload_model", "BOOL", kMemory},
    {"prompt_extend_method", "NAME", kNoExtension},
    {"prompt_extend_model", "NAME", kNoExtension},
    {"prompt_extend_target_lang", "NAME", kNoExtension},
    {"sample_guide_scale", "X", "the model works without guidance (0 or 1)", no_guidance},
    {"save_dir", "DIR", "--save_file names the video, --run_dir the folder of the run"},
    {"single_gpu", "", "a process that is started without mpirun or srun uses one GPU"},
    {"start_from_ref", "", "clip 0 always starts from noise", unless_asked},
    {"t5_cpu", "", kMemory},
    {"t5_fsdp", "", kMemory},
    {"training_config", "FILE", "the LoRA's rank is read from its file, --lora_alpha sets its alpha"},
    {"tts_prompt_audio", "FILE", kNoSpeech},
    {"tts_prompt_text", "TEXT", kNoSpeech},
    {"tts_text", "TEXT", kNoSpeech},
    {"ulysses_size", "N", "a block's tokens are not divided over ranks (1)", is_one},
    {"use_dataset", "", "give the inputs with --image, --audio and --prompt", unless_asked},
    {"use_prompt_extend", "", kNoExtension, unless_asked},
    {"using_merged_ckpt", "", "weights are used as they are in --ckpt_dir; --load_lora merges a LoRA"},
};
// clang-format on

// Number of single-letter changes between two names.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

template <typename Table>
auto* find_in(const Table& table, std::string_view name) {
  const auto found =
      std::find_if(table.begin(), table.end(), [name](const auto& o) { return o.name == name; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace

std::span<const Option> option_table() { return kOptions; }
std::span<const PublicOption> public_option_table() { return kPublicOptions; }

std::string_view group_title(Group group) {
  switch (group) {
    case Group::kInputs:
      return "Inputs";
    case Group::kRendering:
      return "Rendering";
    case Group::kWeights:
      return "LoRA";
    case Group::kVideo:
      return "Video";
    case Group::kComputing:
      return "Computing";
    case Group::kRanks:
      return "Ranks";
    case Group::kProgress:
      return "Stopping and continuing";
    case Group::kTracing:
      return "Tracing";
  }
  return {};
}

const Option* find_option(std::string_view name) { return find_in(option_table(), name); }
const PublicOption* find_public_option(std::string_view name) { return find_in(public_option_table(), name); }

std::string suggestion(std::string_view name, std::string_view prefix) {
  std::string_view nearest;
  size_t least = std::max<size_t>(2, name.size() / 3) + 1;
  const auto consider = [&](std::string_view known) {
    if (const size_t d = distance(name, known); d < least) {
      least = d;
      nearest = known;
    }
  };
  for (const Option& option : option_table()) consider(option.name);
  for (const PublicOption& option : public_option_table()) consider(option.name);
  if (nearest.empty()) return {};
  return "; did you mean " + std::string(prefix) + std::string(nearest) + "?";
}

}  // namespace latentcast
