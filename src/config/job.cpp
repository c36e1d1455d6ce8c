#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string_view>
#include <utility>

#include <unistd.h>

#include "latentcast/config/render_job.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLeastArea = 64 * 64;
constexpr int64_t kMostArea = 4096 * 4096;
constexpr int kMostThreads = 8;
constexpr size_t kLongestName = 50;

// A whole number of 1 to 9 digits; 0 if it is none.
int64_t whole(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool good = error == std::errc{} && end == text.data() + text.size() && text.size() < 10;
  return good ? std::max<int64_t>(value, 0) : 0;
}

std::string read_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// All of the machine, whatever this process may use: results must not depend on how it was started.
int physical_cores() {
  std::set<std::pair<std::string, std::string>> cores;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/sys/devices/system/cpu", error)) {
    const fs::path topology = entry.path() / "topology";
    const std::string core = read_line(topology / "core_id");
    if (!core.empty()) cores.emplace(read_line(topology / "physical_package_id"), core);
  }
  if (!cores.empty()) return static_cast<int>(cores.size());
  return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_CONF)));
}

std::string name_from(std::string_view prompt) {
  std::string name;
  for (char c : prompt) {
    if (name.size() == kLongestName) break;
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '-') {
      name += c;
    } else if (!name.empty() && name.back() != '_') {
      name += '_';
    }
  }
  while (name.ends_with('_')) name.pop_back();
  return name;
}

fs::path default_run_dir(const RenderJob& job, const std::string& time) {
  const std::string name = name_from(prompt_text(job));
  return fs::path("output") / (name.empty() ? time : time + "_" + name);
}

}  // namespace

int64_t area(const RenderJob& job) {
  const auto [width, height] = size_sides(job);
  return int64_t{width} * height;
}

std::pair<int, int> size_sides(const RenderJob& job) {
  const std::string_view size = job.size;
  const size_t star = std::min(size.find_first_of("*x"), size.size());
  const int64_t width = whole(size.substr(0, star));
  const int64_t height = star < size.size() ? whole(size.substr(star + 1)) : 0;
  if (width == 0 || height == 0) {
    throw InputError("--size: '" + job.size +
                     "' is not an area. Write width*height in pixels, such as \"688*368\".");
  }
  if (width * height < kLeastArea || width * height > kMostArea) {
    throw InputError("--size: " + job.size +
                     " is out of range: the area must be between 64*64 and 4096*4096 pixels.");
  }
  return {static_cast<int>(width), static_cast<int>(height)};
}

std::vector<int64_t> given_partition(const RenderJob& job) {
  const std::string_view text = job.layer_partition;
  if (text == "balanced" || text == "even") return {};
  std::vector<int64_t> layers;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    layers.push_back(whole(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  if (std::find(layers.begin(), layers.end(), 0) != layers.end()) {
    throw InputError("--layer_partition: '" + job.layer_partition +
                     "' is not supported. There is: balanced, even, or the number of layers of each stage "
                     "joined by commas, such as 22,18.");
  }
  return layers;
}

std::string prompt_text(const RenderJob& job) {
  if (job.prompt) return *job.prompt;
  if (job.prompt_file.empty())
    throw InputError("There is no prompt. Give one with --prompt or --prompt_file.");
  std::error_code ignored;
  std::ifstream in(job.prompt_file, std::ios::binary);
  if (!in || fs::is_directory(job.prompt_file, ignored)) {
    throw InputError("--prompt_file: can't read " + job.prompt_file.string() + ".");
  }
  return {std::istreambuf_iterator<char>(in), {}};
}

fs::path known_run_dir(const RenderJob& job) {
  if (!job.run_dir.empty() || job.save_file.empty()) return job.run_dir;
  return fs::path(job.save_file).replace_extension(".run");
}

void choose_unset(RenderJob& job, const std::string& time) {
  if (!job.base_seed) job.base_seed = std::random_device{}();  // 32 bits: short enough to type again
  if (job.threads == 0) job.threads = std::min(physical_cores(), kMostThreads);
  job.run_dir = known_run_dir(job);
  if (job.run_dir.empty()) job.run_dir = default_run_dir(job, time);
}

}  // namespace latentcast
