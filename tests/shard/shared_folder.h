#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "mpi_main.h"
#include "program.h"

namespace latentcast::test {

/// A folder that rank 0 makes, all ranks use, and that goes when all are done with it. Collective.
class SharedFolder {
 public:
  SharedFolder() {
    if (mpi_session().world().rank == 0) own_.emplace();
    path_ = mpi_session().gather_strings(own_ ? own_->path().string() : "").front();
  }
  ~SharedFolder() { mpi_session().gather_strings(""); }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;

  /// Whether this rank writes what all read; ready() follows.
  bool is_writer() const { return own_.has_value(); }
  static void ready() { mpi_session().gather_strings(""); }
  const std::string& path() const { return path_; }

 private:
  std::optional<TemporaryFolder> own_;
  std::string path_;
};

inline std::unique_ptr<Communicator> all_ranks() {
  return mpi_session().cpu_communicator(std::chrono::seconds(60));
}

}  // namespace latentcast::test
