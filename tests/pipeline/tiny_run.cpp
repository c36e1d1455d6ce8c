#include "tiny_run.h"

#include <gtest/gtest.h>

namespace latentcast::test {

ProgramResult render_tiny(const std::filesystem::path& run_dir, const Options& options) {
  const std::filesystem::path folder = data_folder() / "tiny";
  Options all = {{"ckpt_dir", folder / "checkpoint"},
                 {"image", folder / "portrait.png"},
                 {"audio", folder / "speech.wav"},
                 {"prompt", "Somebody talks to the camera and smiles."},
                 {"size", "64*64"},
                 {"base_seed", "1"},
                 {"load_lora", "true"},
                 {"device", "cpu"},
                 {"threads", "1"},
                 {"run_dir", run_dir}};
  for (const auto& [name, value] : options) {
    all[name] = value;
  }
  std::vector<std::string> args = {"render"};
  for (const auto& [name, value] : all) {
    if (!value.empty()) {
      args.push_back("--" + name + "=" + value);
    }
  }
  ProgramResult result = run_latentcast(args);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result;
}

}  // namespace latentcast::test
