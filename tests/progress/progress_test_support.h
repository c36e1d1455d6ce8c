#pragma once

#include <filesystem>
#include <string>

#include "files.h"
#include "program.h"
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "latentcast/error.h"
#include "latentcast/progress/run_paths.h"

namespace latentcast::test {

/// What `action` throws, with its exit code in front ("74: …"); "nothing" if it doesn't.
template <typename Action>
std::string failure(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return std::to_string(static_cast<int>(error.code())) + ": " + error.what();
  }
  return "nothing";
}

/// Runs `action` in a process of its own, which ends with _exit: 0, or an Error's code.
template <typename Action>
pid_t in_child(const Action& action) {
  const pid_t child = fork();
  if (child != 0) return child;
  int code = 0;
  try {
    action();
  } catch (const Error& error) {
    code = static_cast<int>(error.code());
  } catch (...) {
    code = 99;
  }
  _exit(code);
}

/// The child's exit code, or 128 + signal.
inline int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/// Changes one byte.
inline void flip(const std::filesystem::path& file, size_t at, unsigned char mask = 0xFF) {
  std::string bytes = read_bytes(file);
  ASSERT_LT(at, bytes.size());
  bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ mask);
  write_bytes(file, bytes);
}

}  // namespace latentcast::test
