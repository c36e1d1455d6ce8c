#include "lab.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <unistd.h>

namespace latentcast::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::minutes kPatience(15);  // machines may be busy
constexpr std::chrono::milliseconds kBetweenLooks(100);

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) {
    words.push_back(word);
  }
  return words;
}

/// The value of NAME=value in what scontrol prints.
std::string field(const std::string& text, const std::string& name) {
  for (const std::string& word : words_of(text)) {
    if (word.starts_with(name + "=")) {
      return word.substr(name.size() + 1);
    }
  }
  return {};
}

}  // namespace

SlurmLab::SlurmLab() {
  control({"start", folder(), std::to_string(getpid())});
  take_environment();
}

SlurmLab::~SlurmLab() {
  run_program({LATENTCAST_SLURM_LAB, "stop", folder()});  // if it fails, the lab's own watch tries again
}

void SlurmLab::control(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {LATENTCAST_SLURM_LAB};
  command.insert(command.end(), arguments.begin(), arguments.end());
  run_checked(command);
}

void SlurmLab::take_environment() {
  std::ifstream file(folder() + "/environment");
  for (std::string line; std::getline(file, line);) {
    const size_t equals = line.find('=');
    std::string value = line.substr(equals + 1);
    std::erase(value, '"');
    setenv(line.substr(0, equals).c_str(), value.c_str(), 1);
  }
  const char* nodes = std::getenv("SLURM_LAB_NODES");
  nodes_ = words_of(nodes != nullptr ? nodes : "");
  if (nodes_.size() != 2) {
    throw std::runtime_error("tools/slurm_lab.sh named no nodes");
  }
}

std::string run_checked(const std::vector<std::string>& command) {
  const ProgramResult result = run_program(command);
  if (result.exit_code != 0) {
    throw std::runtime_error(command.front() + " " + (command.size() > 1 ? command[1] : "") + " ended with " +
                             std::to_string(result.exit_code) + ": " + result.err + result.out);
  }
  return result.out;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

std::string submit(const std::vector<std::string>& words) {
  std::vector<std::string> command = {"sbatch", "--parsable"};
  command.insert(command.end(), words.begin(), words.end());
  const std::vector<std::string> printed = words_of(run_checked(command));
  return printed.at(0);
}

JobState state_of(const std::string& job) {
  const std::string text = run_checked({"scontrol", "show", "job", "-o", job});
  JobState state;
  state.state = field(text, "JobState");
  state.exit_code = std::atoi(field(text, "ExitCode").c_str());
  state.restarts = std::atoi(field(text, "Restarts").c_str());
  state.nodes = field(text, "NodeList");
  return state;
}

void wait_until(const std::function<bool()>& condition, const std::function<std::string()>& describe) {
  const Clock::time_point end = Clock::now() + kPatience;
  while (!condition()) {
    if (Clock::now() > end) {
      throw std::runtime_error("waited in vain: " + describe());
    }
    std::this_thread::sleep_for(kBetweenLooks);
  }
}

JobState wait_for_end(const std::string& job) {
  const auto ended = [&] {
    const std::string state = state_of(job).state;
    return state == "COMPLETED" || state == "FAILED" || state == "CANCELLED" || state == "TIMEOUT" ||
           state == "NODE_FAIL" || state == "PREEMPTED";
  };
  wait_until(ended, [&] { return run_checked({"scontrol", "show", "job", job}); });
  return state_of(job);
}

}  // namespace latentcast::test
