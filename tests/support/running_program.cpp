#include "running_program.h"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <stdexcept>
#include <thread>

#include "files.h"
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace latentcast::test {

namespace fs = std::filesystem;

RunningProgram::RunningProgram(const std::vector<std::string>& command) {
  const std::string out = output_.path() / "out", err = output_.path() / "err";
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
  const int failed = posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    throw std::runtime_error("can't start " + command.front());
  }
}

RunningProgram::~RunningProgram() {
  if (pid_ != 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
}

void RunningProgram::signal(int number) const {
  if (pid_ != 0) kill(pid_, number);
}

ProgramResult RunningProgram::wait(std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (pid_ != 0 && waitpid(pid_, &status_, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      return {-1, read_bytes(output_.path() / "out"), read_bytes(output_.path() / "err")};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  pid_ = 0;
  return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_),
          read_bytes(output_.path() / "out"), read_bytes(output_.path() / "err")};
}

std::vector<pid_t> processes_with(const std::string& text) {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (!std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) {
      continue;
    }
    std::string command;
    try {
      command = read_bytes(entry.path() / "cmdline");
    } catch (const std::runtime_error&) {
      continue;  // it has ended meanwhile
    }
    if (command.find(text) != std::string::npos) {
      found.push_back(std::stoi(name));
    }
  }
  return found;
}

}  // namespace latentcast::test
