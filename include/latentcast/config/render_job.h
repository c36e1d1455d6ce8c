#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace latentcast {

/// How latents become frames: block by block as they arrive, or a clip in one call.
enum class DecodeMode { kOnline, kBatch };

/// What stands in for the first three frames, which the model gets wrong: the first good one, or nothing.
enum class FirstFrames { kHold, kDrop };

/// What was asked: one render. Field names are the options' and the YAML keys' names; what each means, its
/// default and its limits are in the option table (options.h), from which docs/options.md is generated. An
/// empty path or an empty optional means "not given".
struct RenderJob {
  // Inputs
  std::filesystem::path ckpt_dir;
  std::optional<std::string> prompt;  ///< read it through prompt_text(), which knows prompt_file
  std::filesystem::path prompt_file;
  std::filesystem::path image;
  std::vector<std::filesystem::path> audio;  ///< one a speaker
  std::vector<std::filesystem::path> masks;  ///< none, or one a speaker in the same order
  std::filesystem::path pose_video;

  // What to render
  std::string size = "688*368";  ///< an area, not a shape: see area()
  std::optional<int> num_clip;
  int infer_frames = 48;
  int sample_steps = 4;
  double sample_shift = 3.0;
  std::string sample_solver = "euler";
  std::optional<uint64_t> base_seed;
  std::optional<int> cond_distance;
  std::string task = "s2v-14B";

  // Weights
  bool load_lora = false;
  std::filesystem::path lora_path_dmd;  ///< after validate(): an existing file if load_lora
  std::optional<double> lora_alpha;

  // Video
  std::filesystem::path save_file;
  std::filesystem::path run_dir;
  DecodeMode decode = DecodeMode::kOnline;
  FirstFrames first_frames = FirstFrames::kHold;
  int crf = 18;

  // How it is computed
  std::string device = "auto";  ///< auto, cpu or cuda
  std::string dtype = "auto";   ///< auto, float32 or bf16
  int threads = 0;              ///< 0: chosen by choose_unset()
  bool fp8 = false;
  std::string attention = "auto";        ///< auto (the network's type) or fp8
  std::string kv_dtype = "auto";         ///< auto (the network's) or fp8
  bool offload_kv_cache = false;         ///< see cache_means.h
  int kv_layers_on_device = 0;           ///< with offload_kv_cache
  int kv_buffers = 3;                    ///< for caches that are kept elsewhere than they are read
  bool offload_condition_cache = false;  ///< with offload_kv_cache
  bool offload_decoder_state = false;
  bool offload_audio_encoder = false;
  std::optional<double> vram;                ///< GiB that a rank may take of its GPU; see plan_render()
  std::optional<int> num_gpus_dit;           ///< stages; see layout_request()
  bool enable_vae_parallel = false;          ///< the public way to say decoder = rank
  std::string decoder = "auto";              ///< auto, rank or stream
  std::string split = "auto";                ///< auto, timestep or layers
  std::string shard = "auto";                ///< auto, on or off
  std::string gather = "auto";               ///< auto or collective
  std::string layer_partition = "balanced";  ///< balanced, even or N,N,...; see given_partition()
  int timeout = 300;                         ///< seconds without progress after which a rank is given up

  // Stopping and continuing
  std::string checkpoint = "exact";     ///< exact or light
  double checkpoint_minutes = 5;        ///< 0: not by time
  std::optional<int> checkpoint_clips;  ///< not by clips unless given
  std::optional<double> max_hours;

  // Looking inside
  std::filesystem::path trace;
  std::optional<int> trace_blocks;
  std::filesystem::path trace_inputs;

  bool operator==(const RenderJob&) const = default;
};

/// The area in pixels that job.size names. Throws InputError unless it is "W*H" between 64*64 and 4096*4096.
int64_t area(const RenderJob& job);

/// Layers of each stage as job.layer_partition names them; none for balanced and even. Throws InputError
/// unless it is one of these.
std::vector<int64_t> given_partition(const RenderJob& job);

/// The prompt as given or as read from prompt_file (UTF-8, not yet cleaned). Throws InputError if there is
/// neither, or the file can't be read.
std::string prompt_text(const RenderJob& job);

/// Checks everything that can be checked without reading weights, and names the LoRA file if one is asked for
/// (job.lora_path_dmd). Returns warnings, one line each. Throws InputError naming the option, the file and
/// the remedy.
std::vector<std::string> validate(RenderJob& job);

/// Checks what the layout and the memory of a job depend on; its inputs needn't be there. Returns warnings.
/// Throws InputError.
std::vector<std::string> validate_plan(const RenderJob& job);

/// Width and height that job.size names. Throws InputError as area() does.
std::pair<int, int> size_sides(const RenderJob& job);

/// Names, relative to a checkpoint's folder, of all files that a render reads there.
std::vector<std::string> model_files(const std::filesystem::path& ckpt_dir);

/// The run's folder as far as the job fixes it: run_dir, or beside save_file; empty if choose_unset() will
/// make up a new one.
std::filesystem::path known_run_dir(const RenderJob& job);

/// Decides once what the job leaves open and a continued run must find again: draws base_seed, fixes threads
/// (physical cores, at most 8) and run_dir (beside save_file, else output/TIME_PROMPT; `time` as
/// YYYYMMDD_HHMMSS).
void choose_unset(RenderJob& job, const std::string& time);

}  // namespace latentcast
