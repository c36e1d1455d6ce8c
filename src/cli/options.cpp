#include "latentcast/config/options.h"

#include <iostream>

#include "commands.h"

namespace latentcast {

int run_options(int, const char* const*, const MpiSession&) {
  std::cout << options_markdown();
  return 0;
}

}  // namespace latentcast
