// Options and job files that can't be used.

#include "bad_input.h"
#include "files.h"

namespace latentcast::test {
namespace {

using Damage = std::function<void(TinyJob&)>;

Damage with(const char* option, const char* value) {
  return [=](TinyJob& job) { job.options[option] = value; };
}

Damage without(const char* option) {
  return [=](TinyJob& job) { job.options.erase(option); };
}

Damage also(const char* argument) {
  return [=](TinyJob& job) { job.more.push_back(argument); };
}

/// The job in a file job.yaml, `lines` with it.
Damage in_a_file(const std::string& lines) {
  return [=](TinyJob& job) {
    write_bytes(job.path("job.yaml"), read_bytes(job.path("job.yaml")) + lines);
    job.options = {{"config", job.path("job.yaml")}, {"run_dir", job.path("run")}};
  };
}

}  // namespace

std::vector<BadInput> bad_options() {
  return {
      {"UnknownOption", also("--colour=blue"), {"--colour", "See --help"}},
      {"MisspeltOption", also("--sample_step=4"), {"--sample_step", "did you mean --sample_steps?"}},
      {"StrayArgument", also("blue"), {"'blue'", "needs its option's name"}},
      {"Fp8OfAModelTooNarrow", also("--fp8"), {"--fp8", "dim is 24", "multiple of 16"}},
      {"OptionWithoutValue", also("--crf"), {"--crf", "See --help"}},
      {"NoCheckpointGiven", without("ckpt_dir"), {"Missing: --ckpt_dir", "Give them"}},
      {"NoImageGiven", without("image"), {"Missing: --image", "Give them"}},
      {"NoAudioGiven", without("audio"), {"Missing: --audio", "Give them"}},
      {"NoPromptGiven", without("prompt"), {"Missing: --prompt", "Give them"}},
      {"SizeNegative", with("size", "-64*64"), {"--size", "'-64*64'", "Write width*height"}},
      {"SizeZero", with("size", "0*64"), {"--size", "'0*64'", "Write width*height"}},
      {"SizeGarbage", with("size", "large"), {"--size", "'large'", "Write width*height"}},
      {"SizeTooSmall", with("size", "8*8"), {"--size", "8*8", "between 64*64 and"}},
      {"SizeAbsurd", with("size", "999999999*999999999"), {"--size", "between 64*64 and"}},
      {"ClipsZero", with("num_clip", "0"), {"--num_clip", "Give 1 or more"}},
      {"ClipsNegative", with("num_clip", "-1"), {"--num_clip", "Give 1 or more"}},
      {"ClipsNoNumber", with("num_clip", "two"), {"--num_clip", "whole number", "'two'"}},
      {"InferFrames50", with("infer_frames", "50"), {"--infer_frames", "50", "The nearest is 48"}},
      {"InferFramesNegative", with("infer_frames", "-12"), {"--infer_frames", "-12", "The nearest is 12"}},
      {"StepsZero", with("sample_steps", "0"), {"--sample_steps", "between 1 and"}},
      {"ShiftNegative", with("sample_shift", "-3"), {"--sample_shift", "more than 0"}},
      {"ShiftNotFinite", with("sample_shift", "nan"), {"--sample_shift", "expected a number"}},
      {"SolverUnknown", with("sample_solver", "unipc"), {"--sample_solver", "'unipc'", "There is: euler"}},
      {"VramZero", with("vram", "0"), {"--vram", "more than 0"}},
      {"VramNoNumber", with("vram", "much"), {"--vram", "expected a number"}},
      {"VramTooLittle",
       with("vram", "0.00001"),
       {"--vram 1e-05", "The least that would do is", "--offload_kv_cache"}},
      {"BuffersTooMany", with("kv_buffers", "4"), {"--kv_buffers", "between 1 and 3"}},
      {"CrfTooLarge", with("crf", "99"), {"--crf", "between 0 and 51"}},
      {"DistanceTooSmall", with("cond_distance", "3"), {"--cond_distance", "between 4 and 30"}},
      {"SeedNegative", with("base_seed", "-5"), {"--base_seed", "from 0 up"}},
      {"DecodeUnknown", with("decode", "offline"), {"--decode", "online|batch", "'offline'"}},
      {"DeviceUnknown", with("device", "tpu"), {"--device", "'tpu'", "cpu"}},
      {"AlphaZero", with("lora_alpha", "0"), {"--lora_alpha", "more than 0"}},
      {"PromptNotUtf8", with("prompt", "\xC3\x28 talks"), {"--prompt", "UTF-8"}},
      {"PromptFileMissing",
       [](TinyJob& job) {
         job.options.erase("prompt");
         job.options["prompt_file"] = job.path("none.txt");
       },
       {"--prompt_file", "none.txt", "there is no file"}},
      {"PromptFileNotUtf8",
       [](TinyJob& job) {
         write_bytes(job.path("prompt.txt"), "Somebody talks \xFF");
         job.options.erase("prompt");
         job.options["prompt_file"] = job.path("prompt.txt");
       },
       {"prompt.txt", "UTF-8"}},
      {"PromptTwice",
       [](TinyJob& job) {
         write_bytes(job.path("prompt.txt"), "Somebody talks.");
         job.options["prompt_file"] = job.path("prompt.txt");
       },
       {"--prompt_file", "Leave one out"}},
  };
}

std::vector<BadInput> bad_job_files() {
  return {
      {"Missing",
       [](TinyJob& job) {
         job.options = {{"config", job.path("none.yaml")}, {"run_dir", job.path("run")}};
       },
       {"none.yaml", "no such file"}},
      {"NotYaml", in_a_file("crf: [1, 2\n"), {"job.yaml:", "not valid YAML"}},
      {"UnknownKey", in_a_file("colour: blue\n"), {"job.yaml:9", "colour", "no such option"}},
      {"MisspeltKey", in_a_file("num_clips: 2\n"), {"job.yaml:9", "did you mean num_clip?"}},
      {"WrongType", in_a_file("num_clip: many\n"), {"job.yaml:9", "num_clip", "whole number", "'many'"}},
      {"ListForOneValue", in_a_file("crf: [1, 2]\n"), {"job.yaml:9", "crf", "expected one value"}},
      {"NoValue", in_a_file("crf:\n"), {"job.yaml:9", "crf", "there is no value"}},
      {"GivenTwice", in_a_file("size: \"64*64\"\n"), {"job.yaml:9", "size", "given twice"}},
  };
}

}  // namespace latentcast::test
