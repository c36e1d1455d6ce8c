#include <algorithm>
#include <cmath>
#include <fstream>
#include <string_view>

#include "checkpoint_files.h"
#include "option_table.h"

#include "latentcast/config/render_job.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

constexpr int kBlockFrames = 12;
constexpr int kSteadyFrames = 48;
constexpr int kSteadySteps = 4;

[[noreturn]] void refuse(std::string_view option, const std::string& what) {
  throw InputError("--" + std::string(option) + ": " + what);
}

void check_range(std::string_view option, int value, int least, int most) {
  if (value >= least && value <= most) return;
  refuse(option, std::to_string(value) + " is out of range. It must be between " + std::to_string(least) +
                     " and " + std::to_string(most) + ".");
}

void check_given(const RenderJob& job) {
  std::string missing;
  const auto need = [&missing](bool given, const char* option) {
    if (!given) missing += (missing.empty() ? "" : ", ") + std::string(option);
  };
  need(!job.ckpt_dir.empty(), "--ckpt_dir");
  need(!job.image.empty(), "--image");
  need(!job.audio.empty(), "--audio");
  need(job.prompt || !job.prompt_file.empty(), "--prompt (or --prompt_file)");
  if (!missing.empty()) {
    throw InputError("Missing: " + missing +
                     ". Give them on the command line or in a job file (--config); see --help.");
  }
  if (job.prompt && !job.prompt_file.empty()) {
    throw InputError("--prompt and --prompt_file are both given. Leave one out.");
  }
}

void check_file(std::string_view option, const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) refuse(option, "there is no file " + path.string() + ".");
  if (fs::is_directory(status)) refuse(option, path.string() + " is a folder, not a file.");
  if (!std::ifstream(path, std::ios::binary))
    refuse(option, path.string() + " can't be read. Check its permissions.");
}

void check_inputs(const RenderJob& job) {
  if (!job.prompt_file.empty()) check_file("prompt_file", job.prompt_file);
  check_file("image", job.image);
  for (const fs::path& path : job.audio) check_file("audio", path);
  for (const fs::path& path : job.masks) check_file("masks", path);
  if (!job.pose_video.empty()) check_file("pose_video", job.pose_video);
  if (!job.trace_inputs.empty()) check_file("trace_inputs", job.trace_inputs);
  const size_t speakers = job.audio.size(), masks = job.masks.size();
  if (speakers == 1 && masks > 0) {
    refuse(
        "masks",
        "masks are for several speakers, and --audio names one. Leave them out, or give a sound for each.");
  }
  if (speakers > 1 && masks != speakers) {
    refuse("masks", std::to_string(speakers) + " speakers (--audio) need " + std::to_string(speakers) +
                        " masks, got " + std::to_string(masks) +
                        ". Join them with +, in the order of --audio.");
  }
}

void check_frames(int frames, std::vector<std::string>& warnings) {
  if (frames < 1 || frames % kBlockFrames != 0) {
    const int nearest =
        std::max(1, frames / kBlockFrames + (frames % kBlockFrames >= kBlockFrames / 2 ? 1 : 0));
    refuse("infer_frames", std::to_string(frames) +
                               " is not a positive multiple of 12 (the public code silently loses "
                               "latents then). The nearest is " +
                               std::to_string(int64_t{nearest} * kBlockFrames) + ".");
  }
  if (frames < kSteadyFrames) {
    warnings.push_back("--infer_frames " + std::to_string(frames) +
                       " is under 48: the picture will flicker.");
  }
}

void check_steps(int steps, std::vector<std::string>& warnings) {
  check_range("sample_steps", steps, 1, 1000);
  if (steps < kSteadySteps) {
    warnings.push_back("--sample_steps " + std::to_string(steps) + " is under 4: the picture will flicker.");
  }
}

void check_choice(std::string_view option, const std::string& value,
                  std::initializer_list<const char*> choices) {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  std::string known;
  for (const char* choice : choices) known += (known.empty() ? "" : ", ") + std::string(choice);
  refuse(option, "'" + value + "' is not supported. There is: " + known + ".");
}

void check_rendering(const RenderJob& job, std::vector<std::string>& warnings) {
  area(job);
  check_frames(job.infer_frames, warnings);
  check_steps(job.sample_steps, warnings);
  if (job.num_clip && *job.num_clip < 1) {
    refuse("num_clip", std::to_string(*job.num_clip) +
                           " clips can't be rendered. Give 1 or more, or leave it out for as "
                           "many as the sound needs.");
  }
  if (!std::isfinite(job.sample_shift) || job.sample_shift <= 0)
    refuse("sample_shift", "it must be more than 0.");
  if (job.cond_distance) check_range("cond_distance", *job.cond_distance, 4, 30);
  check_choice("sample_solver", job.sample_solver, {"euler"});
  check_choice("task", job.task, {"s2v-14B"});
}

/// What attention in 8 bits can't go with: its caches hold what it reads, on the device.
void check_attention(const RenderJob& job) {
  constexpr int kMostFrames = 168;  // 14 blocks of a clip, the reference and the motion: 16 pieces
  if (job.attention != "fp8") return;
  if (job.offload_kv_cache) {
    throw InputError(
        "--offload_kv_cache doesn't go with --attention fp8, whose caches lie on the device. Leave one out.");
  }
  if (job.vram) {
    throw InputError(
        "--vram doesn't go with --attention fp8 yet: what is planned are caches in other types. Leave one "
        "out.");
  }
  if (job.kv_dtype != "auto") {
    throw InputError(
        "--kv_dtype " + job.kv_dtype +
        " doesn't go with --attention fp8, whose caches are in 8 bits as it reads them. Leave one out.");
  }
  if (job.infer_frames > kMostFrames) {
    refuse("infer_frames", "--attention fp8 takes clips of at most " + std::to_string(kMostFrames) +
                               " frames. Give fewer, or leave --attention out.");
  }
}

void check_computing(const RenderJob& job, std::vector<std::string>& warnings) {
  check_choice("device", job.device, {"auto", "cpu", "cuda"});
  check_choice("dtype", job.dtype, {"auto", "float32", "bf16"});
  check_range("threads", job.threads, 0, 1024);
  check_choice("kv_dtype", job.kv_dtype, {"auto", "fp8"});
  check_choice("attention", job.attention, {"auto", "fp8"});
  check_attention(job);
  check_range("kv_layers_on_device", job.kv_layers_on_device, 0, 1000);
  check_range("kv_buffers", job.kv_buffers, 1, 3);
  if (job.vram && !(std::isfinite(*job.vram) && *job.vram > 0)) {
    refuse("vram", "it must be more than 0 GiB; leave it out for all that the GPU has.");
  }
  if (!job.offload_kv_cache && (job.kv_layers_on_device > 0 || job.offload_condition_cache)) {
    throw InputError(
        std::string(job.offload_condition_cache ? "--offload_condition_cache" : "--kv_layers_on_device") +
        " needs --offload_kv_cache. Give that too, or leave both out.");
  }
  check_range("crf", job.crf, 0, 51);
  if (!job.trace_blocks) return;
  if (*job.trace_blocks < 1) refuse("trace_blocks", "it must be 1 or more; leave it out for all blocks.");
  if (job.trace.empty()) warnings.push_back("--trace_blocks has no effect without --trace.");
}

// What doesn't depend on how many ranks there are.
void check_ranks(const RenderJob& job) {
  if (job.num_gpus_dit && *job.num_gpus_dit < 1) {
    refuse("num_gpus_dit", "it must be 1 or more; leave it out to use the ranks that were started.");
  }
  check_choice("decoder", job.decoder, {"auto", "rank", "stream"});
  check_choice("split", job.split, {"auto", "timestep", "layers"});
  check_choice("shard", job.shard, {"auto", "on", "off"});
  check_choice("gather", job.gather, {"auto", "collective"});
  given_partition(job);
  check_range("timeout", job.timeout, 1, 86400);
  if (job.enable_vae_parallel && job.decoder == "stream") {
    throw InputError("--enable_vae_parallel and --decoder stream contradict each other. Leave one out.");
  }
}

void check_progress(const RenderJob& job) {
  check_choice("checkpoint", job.checkpoint, {"exact", "light"});
  if (!(job.checkpoint_minutes >= 0)) {
    refuse("checkpoint_minutes", "it must be 0 (none by time) or more.");
  }
  if (job.checkpoint_clips && *job.checkpoint_clips < 1) {
    refuse("checkpoint_clips", "it must be 1 or more; leave it out for none by clips.");
  }
  if (job.max_hours && !(*job.max_hours > 0)) {
    refuse("max_hours", "it must be more than 0; leave it out for no limit.");
  }
}

// The folder that `path` goes to must be there already.
void check_target(std::string_view option, const fs::path& path) {
  if (path.empty()) return;
  std::error_code ignored;
  const fs::path folder = fs::absolute(path).parent_path();
  if (fs::is_directory(path, ignored) || !path.has_filename()) {
    refuse(option, path.string() + " is a folder. Name a file in it.");
  }
  if (!fs::is_directory(folder, ignored)) {
    refuse(option, "there is no folder " + folder.string() + ". Create it, or name another place.");
  }
}

void check_targets(const RenderJob& job) {
  check_target("save_file", job.save_file);
  check_target("trace", job.trace);
  std::error_code ignored;
  if (!job.run_dir.empty() && fs::exists(job.run_dir, ignored) && !fs::is_directory(job.run_dir, ignored)) {
    refuse("run_dir", job.run_dir.string() + " is a file. Name a folder; it need not exist.");
  }
}

fs::path lora_file(const RenderJob& job, std::vector<std::string>& warnings) {
  std::error_code ignored;
  const fs::path of_checkpoint = job.ckpt_dir / kLoraFile;
  const fs::path& given = job.lora_path_dmd;
  if (given.empty()) {
    if (fs::is_regular_file(of_checkpoint, ignored)) return of_checkpoint;
    refuse("load_lora",
           "there is no file " + of_checkpoint.string() + ". Put it there, or name it with --lora_path_dmd.");
  }
  if (fs::is_regular_file(given, ignored)) return given;
  if (fs::is_regular_file(given / kLoraFile, ignored)) return given / kLoraFile;
  if (given == kPublicLora && fs::is_regular_file(of_checkpoint, ignored)) {
    warnings.push_back("--lora_path_dmd: nothing is downloaded; " + of_checkpoint.string() + " is used for " +
                       std::string(kPublicLora) + ".");
    return of_checkpoint;
  }
  refuse("lora_path_dmd",
         "there is no file " + given.string() +
             (given == kPublicLora ? ", and none " + of_checkpoint.string() + "; download it there." : "."));
}

void check_lora(RenderJob& job, std::vector<std::string>& warnings) {
  if (job.lora_alpha && !(std::isfinite(*job.lora_alpha) && *job.lora_alpha > 0)) {
    refuse("lora_alpha", "it must be more than 0; leave it out for half the rank.");
  }
  if (job.load_lora) {
    job.lora_path_dmd = lora_file(job, warnings);
  } else if (!job.lora_path_dmd.empty() || job.lora_alpha) {
    warnings.push_back("The LoRA is not used, since --load_lora is not given.");
  }
}

}  // namespace

std::vector<std::string> validate_plan(const RenderJob& job) {
  std::vector<std::string> warnings;
  if (job.ckpt_dir.empty()) throw InputError("Missing: --ckpt_dir. See --help.");
  check_rendering(job, warnings);
  check_computing(job, warnings);
  check_ranks(job);
  check_progress(job);
  return warnings;
}

std::vector<std::string> validate(RenderJob& job) {
  std::vector<std::string> warnings;
  check_given(job);
  check_rendering(job, warnings);
  check_computing(job, warnings);
  check_ranks(job);
  check_progress(job);
  check_inputs(job);
  check_checkpoint(job.ckpt_dir);
  check_lora(job, warnings);
  check_targets(job);
  return warnings;
}

}  // namespace latentcast
