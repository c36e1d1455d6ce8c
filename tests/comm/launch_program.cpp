// What launch_test.cpp starts, alone and under mpirun: says where it stands, then ends in the way that is
// asked for.
#include <iostream>
#include <string>

#include <unistd.h>

#include "latentcast/comm/communicator.h"
#include "latentcast/error.h"

namespace {

using latentcast::MpiSession;

int run(MpiSession& session, const std::string& way) {
  const bool last = session.world().rank == session.world().size - 1;
  if (way == "world") {
    for (const std::string& line : session.gather_strings(std::to_string(session.world().rank))) {
      std::cout << line << "/" << session.world().size << std::endl;
    }
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

}  // namespace

int main(int argc, char** argv) {
  try {
    MpiSession session(&argc, &argv);
    return run(session, argv[1]);
  } catch (const latentcast::Error& error) {
    std::cerr << error.what() << std::endl;
    return static_cast<int>(error.code());
  }
}
