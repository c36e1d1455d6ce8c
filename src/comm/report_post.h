#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <mpi.h>

#include "latentcast/comm/activity.h"

namespace latentcast {

/// What a rank tells the others of itself, as it goes over the wire.
struct Report {
  Report() = default;
  Report(const Doing& doing, bool is_done);
  Doing doing() const;

  uint64_t progress = 0;
  int32_t from = -1;
  uint8_t waiting = 0, done = 0;
  std::array<char, 242> what{};  ///< cut short if need be, ends with a zero
};

/// Sends reports to all other ranks and takes theirs; never waits. Failures of MPI are taken for silence. One
/// thread at a time, beside other threads that use MPI.
class ReportPost {
 public:
  explicit ReportPost(MPI_Comm comm);
  ~ReportPost();
  ReportPost(const ReportPost&) = delete;
  ReportPost& operator=(const ReportPost&) = delete;

  /// Ends what is under way; nothing else may follow. Before MPI ends.
  void close();

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(sends_.size()); }

  /// To every rank that has taken the last one; the others miss this one.
  void send(const Report& report);
  /// The next report that has come.
  std::optional<Report> receive();
  /// Whether every rank has been sent a report that says "done".
  bool told_all_done();

 private:
  struct Send {
    Report report;
    MPI_Request request = MPI_REQUEST_NULL;
    bool gone() { return finished(request); }
  };
  static bool finished(MPI_Request& request);
  void ask();

  MPI_Comm comm_;
  int rank_ = 0;
  std::vector<Send> sends_;
  Report incoming_;
  MPI_Request request_ = MPI_REQUEST_NULL;
};

}  // namespace latentcast
