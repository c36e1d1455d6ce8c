#include "latentcast/pipeline/render.h"

#include <ctime>
#include <fstream>
#include <iostream>

#include "commands.h"
#include "progress_line.h"

#include "latentcast/config/options.h"

namespace latentcast {
namespace {

std::string time_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d_%H%M%S", &local);
  return text;
}

}  // namespace

int run_render(int argc, const char* const* argv) {
  ParsedArgs args = parse_render_args(argc, argv);
  if (args.help) {
    std::cout << render_help();
    return 0;
  }
  for (const std::string& notice : args.notices) {
    std::cerr << "[INFO] " << notice << "\n";
  }
  for (const std::string& warning : validate(args.job)) {
    std::cerr << "[WARNING] " << warning << "\n";
  }
  choose_unset(args.job, time_stamp());
  if (args.job.decode == DecodeMode::kOnline) {
    std::cerr << "[INFO] Online decoding enabled for VAE\n";
  }
  RenderResult result;
  {
    ProgressLine line;
    result = render(args.job, [&](const RenderProgress& progress) { line.show(progress); });
  }
  std::cout << result.video.string() << ": " << result.frames << " frames of " << result.width << "x"
            << result.height << ", " << result.clips << (result.clips == 1 ? " clip" : " clips") << std::endl;
  return 0;
}

}  // namespace latentcast
