#include "host_name.h"

#include <unistd.h>

namespace latentcast {

std::string host_name() {
  char name[256] = "";
  return gethostname(&name[0], sizeof name - 1) == 0 && name[0] != '\0' ? name : "localhost";
}

}  // namespace latentcast
