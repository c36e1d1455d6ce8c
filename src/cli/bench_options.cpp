#include "bench_options.h"

#include "latentcast/error.h"

namespace latentcast {

void add_bench_options(CLI::App& app, BenchJob& job) {
  app.add_option("--model", job.model, "14b or tiny")->capture_default_str();
  app.add_option("--size", job.size, "frame size W*H")->capture_default_str();
  app.add_option("--device", job.device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--dtype", job.dtype, "auto, float32 or bf16")
      ->check(CLI::IsMember({"auto", "float32", "bf16"}));
  app.add_flag("--fp8", job.fp8, "the transformer's weights in 8 bits");
  app.add_flag("--offload_kv_cache", job.caches.on_host, "attention caches in host memory");
  app.add_option("--kv_layers_on_device", job.caches.device_layers, "but for so many layers")
      ->check(CLI::Range(0, 1000));
  app.add_option("--kv_buffers", job.caches.buffers,
                 "buffers that layers whose caches are brought take turns in")
      ->check(CLI::Range(1, 3));
  app.add_flag("--offload_condition_cache", job.caches.condition_on_host, "the condition's too");
  app.add_option_function<std::string>(
         "--kv_dtype", [&job](const std::string& type) { job.caches.fp8 = type == "fp8"; },
         "attention caches' type, auto or fp8")
      ->check(CLI::IsMember({"auto", "fp8"}));
  app.add_option_function<std::string>(
         "--attention", [&job](const std::string& type) { job.caches.packed = type == "fp8"; },
         "self-attention of the block passes, auto or fp8")
      ->check(CLI::IsMember({"auto", "fp8"}));
  app.add_flag(
      "--offload_decoder_state", job.offload_decoder_state,
      "the decoder's state in host memory between blocks; for pipelines that decode after the denoising");
  app.add_flag("--offload_audio_encoder", job.offload_audio_encoder,
               "the weights that make audio tokens in host memory; for pipelines");
  app.add_option("--repeats", job.repeats, "measured calls")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("--threads", job.threads, "CPU threads")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--json", job.json, "also write the figures to this file");
}

bool parse_bench(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, const_cast<char**>(argv));
  } catch (const CLI::CallForHelp& help) {
    app.exit(help);
    return false;
  } catch (const CLI::ParseError& error) {
    throw InputError(std::string("bench: ") + error.what() + "; see latentcast bench --help");
  }
  return true;
}

void describe(nlohmann::ordered_json& report, const BenchJob& job, const ComputeDevice& device) {
  report["model"] = job.model;
  report["size"] = job.size;
  report["device"] = device.name;
  report["fp8"] = job.fp8;
  report["caches"] = {{"on_host", job.caches.on_host},
                      {"layers_on_device", job.caches.device_layers},
                      {"condition_on_host", job.caches.condition_on_host},
                      {"fp8", job.caches.fp8},
                      {"buffers", job.caches.buffers},
                      {"packed", job.caches.packed},
                      {"decoder_state_on_host", job.offload_decoder_state}};
  report["audio_encoder_on_host"] = job.offload_audio_encoder;
  report["dtype"] = device.dtype == at::kBFloat16 ? "bf16" : "float32";
}

}  // namespace latentcast
