#include <array>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <string_view>

#include "cli/commands.h"
#include <c10/util/Exception.h>

#include "latentcast/error.h"

namespace {

using latentcast::ExitCode;

struct Command {
  std::string_view name, help;
  int (*run)(int, const char* const*, const latentcast::MpiSession&);
};

constexpr std::array kCommands = {
    Command{"render", "render a video from a picture, speech and a prompt", latentcast::run_render},
    Command{"bench", "measure the transformer or the decoder with random weights", latentcast::run_bench},
    Command{"compare", "PSNR and SSIM of two videos or two runs", latentcast::run_compare},
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
  for (const Command& command : kCommands) {
    if (command.name == name) {
      return command.run(argc - 1, argv + 1, mpi);
    }
  }
  std::cerr << "latentcast: unknown command '" << name << "'\n\n";
  return usage(std::cerr, ExitCode::kInput);
}

int fail(ExitCode code, std::string_view message) {
  std::cerr << "latentcast: error: " << message << std::endl;
  return static_cast<int>(code);
}

/// Exception -> exit code; see ExitCode for what each tells a job script.
int run(int argc, char** argv, const latentcast::MpiSession& mpi) {
  try {
    return dispatch(argc, argv, mpi);
  } catch (const latentcast::RankFailure& failure) {
    // The others may be waiting for this rank: they are ended.
    const int code = fail(failure.code(), failure.what());
    if (mpi.world().size > 1) {
      mpi.abort(code);
    }
    return code;
  } catch (const latentcast::Error& error) {
    // Came to all ranks together, so one of them says it.
    return mpi.world().rank == 0 ? fail(error.code(), error.what()) : static_cast<int>(error.code());
  } catch (const c10::Error& error) {
    return fail(ExitCode::kInternal, error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return fail(ExitCode::kInternal, "out of memory; use a smaller --size, or a machine with more memory");
  } catch (const std::exception& error) {
    return fail(ExitCode::kInternal, error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const latentcast::MpiSession mpi(&argc, &argv);
    return run(argc, argv, mpi);
  } catch (const latentcast::Error& error) {
    return fail(error.code(), error.what());  // of the session: ranks that can't find one another
  }
}
