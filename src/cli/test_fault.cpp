#include "test_fault.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "latentcast/device/gpu_memory.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

/// The value behind "NAME=", up to a comma; that of the last one up to the end.
std::string field(const std::string& text, const std::string& name) {
  const size_t found = text.find(name + "=");
  if (found == std::string::npos) {
    throw InputError("LATENTCAST_TEST_FAULT has no " + name + "=: it is for tests, unset it");
  }
  const size_t begin = found + name.size() + 1;
  return text.substr(begin, name == "at" ? std::string::npos : text.find(',', begin) - begin);
}

/// The rank still gets on, a little every few seconds: what it does beside its blocks must not stand still.
void wait_a_while_for(const std::string& file) {
  for (int i = 0; i < 100 && !std::filesystem::exists(file); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void strike(const std::string& how, const std::string& mark) {
  if (how.starts_with("hold")) {
    wait_a_while_for(mark + ".go");
    if (how == "hold" || !std::filesystem::exists(mark + ".go")) {
      return;
    }
  }
  if (how == "throw") {
    throw InternalError("a fault for tests");
  }
  if (how == "squeeze") {
    // The GPU of a rank that sees one.
    ComputeDevice gpu;
    gpu.device = at::Device(at::kCUDA, 0);
    release_cached_memory(gpu);
    limit_device_memory(gpu, 0);
  }
  if (how == "kill" || how == "hold-kill") {
    std::raise(SIGKILL);
  }
  if (how == "stop") {
    std::raise(SIGSTOP);
  }
  while (how == "hang") {
    std::this_thread::sleep_for(std::chrono::hours(1));
  }
  if (how == "slow") {
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace

void set_test_fault(const MpiSession& mpi) {
  const char* text = std::getenv("LATENTCAST_TEST_FAULT");
  if (text == nullptr || std::stoi(field(text, "rank")) != mpi.world().rank) {
    return;
  }
  const std::string how = field(text, "do"), mark = field(text, "mark"), at = field(text, "at");
  const auto struck = std::make_shared<std::atomic<bool>>(false);
  mpi.activity().set_probe([how, mark, at, struck](const std::string& what) {
    if (what.find(at) != std::string::npos &&
        (how == "slow" || how.starts_with("hold") || !struck->exchange(true))) {
      std::ofstream(mark) << what << std::endl;
      strike(how, mark);
    }
  });
}

}  // namespace latentcast
