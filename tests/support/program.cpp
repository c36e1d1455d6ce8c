#include "program.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) {
    throw std::runtime_error(std::string(name) + " is not set; run the tests through ctest");
  }
  return value;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string joined(const fs::path& folder, const std::string& names) {
  std::stringstream list(names);
  std::string name, result;
  while (std::getline(list, name, '+')) {
    result += (result.empty() ? "" : "+") + (folder / name).string();
  }
  return result;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "latentcast-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    throw std::runtime_error("can't make " + pattern);
  }
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

ProgramResult run_program(const std::vector<std::string>& command) {
  const TemporaryFolder folder;
  const std::string out = folder.path() / "out", err = folder.path() / "err";
  std::vector<char*> argv;
  for (const std::string& word : command) {
    argv.push_back(const_cast<char*>(word.c_str()));
  }
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT, 0600);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    throw std::runtime_error("can't start " + command.front());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out), read_file(err)};
}

ProgramResult run_latentcast(const std::vector<std::string>& args) {
  std::vector<std::string> command = {environment("LATENTCAST_PROGRAM")};
  command.insert(command.end(), args.begin(), args.end());
  return run_program(command);
}

fs::path data_folder() { return environment("LATENTCAST_TEST_DATA"); }

std::vector<std::string> case_arguments(const std::string& name, const fs::path& run_dir) {
  if (name == "tiny") {
    return {"render",    "--config",      (data_folder() / "tiny" / "job.yaml").string(), "--device", "cpu",
            "--run_dir", run_dir.string()};
  }
  const fs::path folder = data_folder() / "cases" / name;
  const nlohmann::json job = nlohmann::json::parse(read_file(folder / "case.json"));
  const auto text = [&](const char* key) { return job.at(key).get<std::string>(); };
  const auto number = [&](const char* key) { return std::to_string(job.at(key).get<int>()); };
  std::vector<std::string> args = {"render",
                                   "--device",
                                   "cpu",
                                   "--ckpt_dir",
                                   folder / "checkpoint",
                                   "--prompt",
                                   text("prompt"),
                                   "--image",
                                   folder / text("image"),
                                   "--audio",
                                   joined(folder, text("wav")),
                                   "--size",
                                   "384*256",
                                   "--num_clip",
                                   number("clips"),
                                   "--base_seed",
                                   number("seed"),
                                   "--cond_distance",
                                   number("relative_distance"),
                                   "--run_dir",
                                   run_dir.string()};
  const auto add = [&](const std::vector<std::string>& more) {
    args.insert(args.end(), more.begin(), more.end());
  };
  if (job.at("lora").at("use").get<bool>()) {
    add({"--load_lora", "--lora_alpha", std::to_string(job.at("lora").at("alpha").get<double>())});
  }
  if (job.contains("pose")) {
    add({"--pose_video", folder / text("pose")});
  }
  if (job.contains("masks")) {
    add({"--masks", joined(folder, text("masks"))});
  }
  return args;
}

}  // namespace latentcast::test
