#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

#include "latentcast/config/options.h"
#include "latentcast/error.h"

namespace latentcast {

inline std::filesystem::path test_data() {
  const char* folder = std::getenv("LATENTCAST_TEST_DATA");
  if (!folder) throw std::runtime_error("LATENTCAST_TEST_DATA is not set; run the tests through ctest");
  return folder;
}

/// A folder of the test's own, gone with it.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "latentcast-config-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(const std::string& name, const std::string& content = "x") const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << content;
    return file;
  }

 private:
  std::filesystem::path path_;
};

inline ParsedArgs parse(const std::vector<std::string>& args) {
  std::vector<const char*> argv = {"render"};
  for (const std::string& arg : args) argv.push_back(arg.c_str());
  return parse_render_args(static_cast<int>(argv.size()), argv.data());
}

/// What `action` refuses with as an InputError; "accepted" if it doesn't.
template <typename Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

inline std::string parse_refusal(const std::vector<std::string>& args) {
  return refusal([&] { parse(args); });
}

}  // namespace latentcast
