#include "report_post.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "mpi_call.h"

namespace latentcast {

static_assert(std::is_trivially_copyable_v<Report>);

Report::Report(const Doing& doing, bool is_done)
    : progress(doing.progress), waiting(doing.waiting ? 1 : 0), done(is_done ? 1 : 0) {
  std::copy_n(doing.what.data(), std::min(doing.what.size(), what.size() - 1), what.data());
}

Doing Report::doing() const {
  Doing doing;
  doing.what = std::string(what.data(), strnlen(what.data(), what.size()));
  doing.waiting = waiting != 0;
  doing.progress = progress;
  return doing;
}

ReportPost::ReportPost(MPI_Comm comm) : comm_(comm) {
  int size = 0;
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm_, &size), "MPI_Comm_size");
  sends_.resize(static_cast<size_t>(size));
  ask();
}

ReportPost::~ReportPost() { close(); }

void ReportPost::close() {
  if (request_ != MPI_REQUEST_NULL && MPI_Cancel(&request_) == MPI_SUCCESS) {
    // A receive that is cancelled ends at once, whatever the other ranks do.
    MPI_Wait(&request_, MPI_STATUS_IGNORE);
  }
  for (Send& send : sends_) {
    if (!send.gone()) {
      // MPI may still read this memory.
      new std::vector<Send>(std::move(sends_));
      break;
    }
  }
  sends_.clear();
}

bool ReportPost::finished(MPI_Request& request) {
  int flag = 0;
  if (request != MPI_REQUEST_NULL && MPI_Test(&request, &flag, MPI_STATUS_IGNORE) != MPI_SUCCESS) {
    request = MPI_REQUEST_NULL;
  }
  return request == MPI_REQUEST_NULL;
}

void ReportPost::send(const Report& report) {
  for (int peer = 0; peer < size(); ++peer) {
    Send& send = sends_[static_cast<size_t>(peer)];
    if (peer == rank_ || !send.gone()) {
      continue;
    }
    send.report = report;
    send.report.from = rank_;
    if (MPI_Isend(&send.report, sizeof(Report), MPI_BYTE, peer, 0, comm_, &send.request) != MPI_SUCCESS) {
      send.request = MPI_REQUEST_NULL;
    }
  }
}

void ReportPost::ask() {
  incoming_.from = -1;  // stays so if the receive fails
  if (MPI_Irecv(&incoming_, sizeof(Report), MPI_BYTE, MPI_ANY_SOURCE, 0, comm_, &request_) != MPI_SUCCESS) {
    request_ = MPI_REQUEST_NULL;
  }
}

std::optional<Report> ReportPost::receive() {
  if (request_ == MPI_REQUEST_NULL) {
    ask();
  }
  if (!finished(request_) || incoming_.from < 0 || incoming_.from >= size()) {
    return std::nullopt;
  }
  const Report report = incoming_;
  ask();
  return report;
}

bool ReportPost::told_all_done() {
  for (int peer = 0; peer < size(); ++peer) {
    Send& send = sends_[static_cast<size_t>(peer)];
    if (peer != rank_ && (!send.gone() || send.report.done == 0)) {
      return false;
    }
  }
  return true;
}

}  // namespace latentcast
