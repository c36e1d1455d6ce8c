#include <array>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "cli/commands.h"
#include "cli/test_fault.h"
#include <unistd.h>

#include "latentcast/comm/failure.h"
#include "latentcast/error.h"
#include "latentcast/progress/stop_requests.h"

namespace {

using latentcast::ExitCode;

struct Command {
  std::string_view name, help;
  int (*run)(int, const char* const*, const latentcast::MpiSession&);
  bool stops_in_order = false;  ///< signals ask it to, and don't end it
};

constexpr std::array kCommands = {
    Command{"render", "render a video from a picture, speech and a prompt", latentcast::run_render, true},
    Command{"plan", "what a render would take of each GPU, and by which means it fits", latentcast::run_plan},
    Command{"inspect", "what a run's folder or a checkpoint's file holds", latentcast::run_inspect},
    Command{"compare", "PSNR and SSIM of two videos or two runs", latentcast::run_compare},
    Command{"bench", "measure the transformer, the decoder or layouts of ranks with random weights",
            latentcast::run_bench},
    Command{"options", "print the option table as Markdown", latentcast::run_options},
};

int usage(std::ostream& out, ExitCode code) {
  out << "usage: latentcast COMMAND [OPTIONS]\n\n";
  for (const Command& command : kCommands) {
    out << "  " << command.name << std::string(10 - command.name.size(), ' ') << command.help << "\n";
  }
  out << "\nlatentcast COMMAND --help tells a command's options.\n";
  return static_cast<int>(code);
}

const Command* find_command(std::string_view name) {
  for (const Command& command : kCommands) {
    if (command.name == name) {
      return &command;
    }
  }
  return nullptr;
}

int dispatch(int argc, char** argv, const latentcast::MpiSession& mpi) {
  if (argc < 2) {
    return usage(std::cerr, ExitCode::kInput);
  }
  const std::string_view name = argv[1];
  if (name == "--help" || name == "-h" || name == "help") {
    return usage(std::cout, ExitCode::kDone);
  }
  if (name == "--version") {
    std::cout << "latentcast " LATENTCAST_VERSION "\n";
    return 0;
  }
  if (const Command* command = find_command(name)) {
    return command->run(argc - 1, argv + 1, mpi);
  }
  std::cerr << "latentcast: unknown command '" << name << "'\n\n";
  return usage(std::cerr, ExitCode::kInput);
}

/// In one piece, and past every buffer: other threads may stand anywhere.
void say(const std::string& message) {
  const std::string line = "latentcast: error: " + message + "\n";
  for (size_t written = 0; written < line.size();) {
    const ssize_t count = write(STDERR_FILENO, line.data() + written, line.size() - written);
    if (count <= 0) {
      return;
    }
    written += static_cast<size_t>(count);
  }
}

/// Exception -> exit code; see ExitCode for what each tells a job script.
int run(int argc, char** argv, const latentcast::MpiSession& mpi) {
  try {
    return dispatch(argc, argv, mpi);
  } catch (const latentcast::AgreedError& error) {
    if (mpi.world().rank == 0) {
      say(error.what());
    }
    return static_cast<int>(error.code());
  } catch (...) {
    if (mpi.world().size > 1) {
      mpi.fail(std::current_exception());  // the others may be waiting for this rank
    }
    const latentcast::Failure failure = latentcast::describe_failure(std::current_exception());
    say(failure.message);
    return static_cast<int>(failure.code);
  }
}

int run_session(int argc, char** argv) {
  const Command* command = argc > 1 ? find_command(argv[1]) : nullptr;
  if (command != nullptr && command->stops_in_order) {
    latentcast::StopSignals::note_from_now_on();  // before MPI's start and past its end
  }
  const latentcast::MpiSession mpi(&argc, &argv, say);
  latentcast::set_test_fault(mpi);
  return run(argc, argv, mpi);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run_session(argc, argv);
  } catch (...) {
    const latentcast::Failure failure = latentcast::describe_failure(std::current_exception());
    say(failure.message);
    return static_cast<int>(failure.code);
  }
}
