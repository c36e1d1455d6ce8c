#include <cstring>
#include <iostream>

#include "bench_model.h"
#include "bench_options.h"
#include "bench_parts.h"
#include "commands.h"
#include <c10/core/InferenceMode.h>

#include "latentcast/pipeline/cache_setup.h"
#include "latentcast/telemetry/memory.h"

namespace latentcast {

int run_bench(int argc, const char* const* argv, const MpiSession& mpi) {
  if (argc > 1 && std::strcmp(argv[1], "pipeline") == 0) {
    return run_bench_pipeline(argc - 1, argv + 1, mpi);
  }
  if (argc > 1 && std::strcmp(argv[1], "load") == 0) {
    return run_bench_load(argc - 1, argv + 1);
  }
  if (argc > 1 && std::strcmp(argv[1], "checkpoint") == 0) {
    return run_bench_checkpoint(argc - 1, argv + 1, mpi);
  }
  BenchJob job;
  std::string part;
  CLI::App app("Measures the transformer's step or the decoder with random weights made on the device.");
  app.name("latentcast bench");
  app.add_option("part", part,
                 "dit, vae, kernels (the parts of dit), fp8 (its error), or one with options of its own: "
                 "pipeline, load, checkpoint "
                 "(bench load --help)")
      ->required()
      ->check(CLI::IsMember({"dit", "vae", "kernels", "fp8"}));
  add_bench_options(app, job);
  if (!parse_bench(app, argc, argv)) {
    return 0;
  }
  parse_bench_size(job);
  const ModelShape model = model_shape(job.model);
  const c10::InferenceMode inference;
  const ComputeDevice device = select_device(job.device, job.dtype, job.threads);
  check_caches(job.caches, model.dit, device);
  nlohmann::ordered_json report = part == "dit"   ? bench_dit(job, model, device)
                                  : part == "vae" ? bench_vae(job, model, device)
                                  : part == "fp8" ? bench_fp8(job, model, device)
                                                  : bench_kernels(job, model, device);
  describe(report, job, device);
  report["peak_device_bytes"] = peak_device_bytes(device);
  if (part == "dit") {
    add_limit(report, job, model, device);
  }
  report["peak_resident_bytes"] = peak_resident_bytes();
  std::cout << report.dump(2) << std::endl;
  write_report(report, job);
  return 0;
}

}  // namespace latentcast
