#include <charconv>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <optional>

#include "commands.h"
#include <nlohmann/json.hpp>

#include "latentcast/config/options.h"
#include "latentcast/config/size.h"
#include "latentcast/error.h"
#include "latentcast/media/picture.h"
#include "latentcast/pipeline/checkpoint.h"
#include "latentcast/pipeline/memory_plan.h"
#include "latentcast/progress/durable_file.h"

namespace latentcast {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMostRanks = 1024;

/// The options that only `plan` has; the rest are the job's.
struct PlanArgs {
  std::optional<int> ranks;
  std::string json;
  bool help = false;
  std::vector<const char*> rest;
};

int number_of_ranks(const std::string& text) {
  int ranks = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ranks);
  if (error != std::errc{} || end != text.data() + text.size() || ranks < 1 || ranks > kMostRanks) {
    throw InputError("--ranks: '" + text + "' is no number of ranks from 1 to " + std::to_string(kMostRanks));
  }
  return ranks;
}

PlanArgs read_plan_args(int argc, const char* const* argv) {
  PlanArgs args;
  args.rest.push_back(argv[0]);
  const auto value_of = [&](int& i, const char* name) -> const char* {
    const size_t length = std::strlen(name);
    if (std::strncmp(argv[i], name, length) != 0) return nullptr;
    if (argv[i][length] == '=') return argv[i] + length + 1;
    if (argv[i][length] != '\0') return nullptr;
    if (i + 1 == argc) throw InputError(std::string(name) + " needs a value; see latentcast plan --help");
    return argv[++i];
  };
  for (int i = 1; i < argc; ++i) {
    if (const char* ranks = value_of(i, "--ranks")) {
      args.ranks = number_of_ranks(ranks);
    } else if (const char* json = value_of(i, "--json")) {
      args.json = json;
    } else {
      args.help = args.help || std::strcmp(argv[i], "--help") == 0 || std::strcmp(argv[i], "-h") == 0;
      args.rest.push_back(argv[i]);
    }
  }
  return args;
}

void print_help() {
  std::cout
      << "Says what a render would take of each GPU's memory, and by which means it fits --vram. Needs no "
         "GPU,\nand reads of a checkpoint the sizes only.\n\n"
         "  latentcast plan --ckpt_dir DIR [--ranks N] [--vram GB] [options of render]\n\n"
         "  --ranks N     GPUs, one rank each, on one host (default 1). NCCL between hosts takes more:\n"
         "                --gather collective counts it in.\n"
         "  --json FILE   write the plan to this file too\n\n"
         "The picture (--image) says the shape of the video; without one it is that of --size. All options "
         "of\n`latentcast render --help` are known; those that change no sizes are not looked at.\n";
}

/// The GPU is taken to be there; a CPU must be named.
ComputeDevice planned_device(const RenderJob& job) {
  ComputeDevice device;
  const bool cpu = job.device == "cpu";
  if (!cpu) device.device = at::Device(at::kCUDA, 0);
  const bool wide = job.dtype == "float32" || (job.dtype == "auto" && cpu);
  device.dtype = wide ? at::kFloat : at::kBFloat16;
  return device;
}

FrameSize frame_size(const RenderJob& job) {
  if (job.image.empty()) {
    const auto [width, height] = size_sides(job);
    return fit_to_area(width, height, area(job));
  }
  const Picture picture = read_picture(job.image);
  return fit_to_area(picture.width, picture.height, area(job));
}

/// A job's plan, and what else was tried.
struct Planned {
  FrameSize size;
  MemoryRequest request;
  MemoryPlan plan;
  std::vector<MemoryPlan> ladder;

  bool fits(const MemoryPlan& one) const {
    return request.budget == 0 || one.device_bytes() <= request.budget;
  }
};

MemoryPlan as_asked(const MemoryRequest& request) {
  MemoryPlan plan{make_layout(request.layout), request.given, {}};
  plan.ranks = estimate_memory(request.model, request.work, plan.layout, plan.means);
  return plan;
}

Planned make_plan(const RenderJob& job, int ranks) {
  const Checkpoint networks = open_networks(job);
  const ComputeDevice device = planned_device(job);
  const FrameSize size = frame_size(job);
  const StageShape shape{size.height / 8, size.width / 8, job.infer_frames / kBlockFrames};
  const CheckpointSource vae = networks.vae_source(device);
  MemoryRequest request = memory_request(job, networks.dit_config, vae, shape, device, {ranks});
  MemoryPlan plan = job.vram ? plan_memory(request) : as_asked(request);
  std::vector<MemoryPlan> ladder = memory_ladder(request);
  return {size, std::move(request), std::move(plan), std::move(ladder)};
}

std::string size_text(const FrameSize& size) {
  return std::to_string(size.width) + "x" + std::to_string(size.height);
}

std::string steps_text(const RankLayout& layout) {
  char text[16];
  std::snprintf(text, sizeof text, "%.2f", block_period(layout));
  return text;
}

void print(const Planned& planned, const RenderJob& job) {
  const MemoryPlan& plan = planned.plan;
  const auto ranks = static_cast<size_t>(plan.layout.world_size);
  const std::string device = job.device == "cpu" ? "CPU" : "GPU";
  std::cout << size_text(planned.size) << ", " << ranks << (ranks == 1 ? " rank" : " ranks") << "\n\n"
            << layout_table(plan.layout, std::vector<std::string>(ranks, "-"),
                            std::vector<std::string>(ranks, device))
            << "\n";
  if (job.vram) std::cout << planned.request.budget_text << " GiB: this fits, as with\n  ";
  std::cout << plan_options_text(plan) << "\n\n" << memory_table(plan.ranks) << "\n\n";
  std::cout
      << "Ways to save memory, the fastest first (of each, the fastest layout that fits, or the one that "
         "takes least;\nsteps: what the busiest rank does for a block if nothing holds it up)\n";
  for (const MemoryPlan& one : planned.ladder) {
    std::cout << "  " << gib_text(one.device_bytes()) << (planned.fits(one) ? "       " : ", no  ")
              << steps_text(one.layout) << " steps  " << plan_options_text(one) << "\n";
  }
  std::cout << std::flush;
}

Json plan_as_json(const MemoryPlan& plan) {
  return {{"options", plan_options(plan)},
          {"device_bytes", plan.device_bytes()},
          {"steps_per_block", block_period(plan.layout)},
          {"layout", Json::parse(layout_json(plan.layout))},
          {"ranks", Json::parse(memory_json(plan.ranks))}};
}

std::string to_json(const Planned& planned) {
  Json json = {{"width", planned.size.width}, {"height", planned.size.height}};
  if (planned.request.budget > 0) json["budget_bytes"] = planned.request.budget;
  json["plan"] = plan_as_json(planned.plan);
  json["ladder"] = Json::array();
  for (const MemoryPlan& one : planned.ladder) {
    json["ladder"].push_back(plan_as_json(one));
    json["ladder"].back()["fits"] = planned.fits(one);
  }
  return json.dump(2) + "\n";
}

}  // namespace

int run_plan(int argc, const char* const* argv, const MpiSession& mpi) {
  const PlanArgs args = read_plan_args(argc, argv);
  if (args.help) {
    print_help();
    return 0;
  }
  const ParsedArgs parsed = parse_render_args(static_cast<int>(args.rest.size()), args.rest.data());
  for (const std::string& warning : validate_plan(parsed.job)) {
    std::cerr << "[WARNING] " << warning << "\n";
  }
  const Planned planned = make_plan(parsed.job, args.ranks.value_or(mpi.world().size));
  if (mpi.world().rank != 0) {
    return 0;
  }
  print(planned, parsed.job);
  if (!args.json.empty()) {
    write_text_file(args.json, to_json(planned));
  }
  return 0;
}

}  // namespace latentcast
