// What launch_test.cpp starts, alone and under mpirun: says where it stands, then ends in the way that is
// asked for.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

#include "latentcast/comm/communicator.h"
#include "latentcast/error.h"

namespace {

using latentcast::MpiSession;

/// "HOST CUDA_VISIBLE_DEVICES -> DEVICE": what Slurm shows this rank, and which of it the rank takes.
std::string device_line(const latentcast::World& world) {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::string list = visible != nullptr ? visible : "";
  const auto count = list.empty() ? 0 : static_cast<int>(std::count(list.begin(), list.end(), ',')) + 1;
  return world.host + " " + list + " -> " + std::to_string(latentcast::device_of_rank(world, count));
}

int run(MpiSession& session, const std::string& way) {
  const bool last = session.world().rank == session.world().size - 1;
  if (way == "world") {
    for (const std::string& line : session.gather_strings(std::to_string(session.world().rank))) {
      std::cout << line << "/" << session.world().size << std::endl;
    }
    return 0;
  }
  if (way == "device") {
    const std::vector<std::string> lines = session.gather_strings(device_line(session.world()));
    for (const std::string& line : lines) {
      if (session.world().rank == 0) {
        std::cout << line << std::endl;
      }
    }
    return 0;
  }
  if (way == "core") {
    rlimit limit{};
    getrlimit(RLIMIT_CORE, &limit);
    std::cout << "core " << limit.rlim_cur << std::endl;
    return 0;
  }
  if (last && way == "abort") {
    session.abort(64);
  }
  if (last && way == "throw") {
    throw latentcast::InternalError("thrown");
  }
  sleep(600);
  return 0;
}

/// A rank that never comes to start MPI.
bool is_late(const std::string& way) {
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  return way == "late" && rank != nullptr && std::string(rank) == "1";
}

int main_of_rank(int argc, char** argv, const std::string& way) {
  if (is_late(way)) {
    sleep(600);
  }
  const std::chrono::seconds start_limit(way == "late" ? 3 : 300);
  MpiSession session(
      &argc, &argv, [](const std::string& message) { std::cerr << message << std::endl; }, start_limit);
  return run(session, way);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return main_of_rank(argc, argv, argv[1]);
  } catch (const latentcast::Error& error) {
    std::cerr << error.what() << std::endl;
    return static_cast<int>(error.code());
  }
}
