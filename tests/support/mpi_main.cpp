// A main for tests of several ranks: every rank runs every test, rank 0 alone prints as GoogleTest does, the
// others print their failures, and a failure on any rank is one of the whole program.
#include "mpi_main.h"

#include <algorithm>
#include <iostream>
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace latentcast::test {
namespace {

const MpiSession*& current_session() {
  static const MpiSession* session = nullptr;
  return session;
}

/// Prints failures only, with the rank.
class FailurePrinter : public testing::EmptyTestEventListener {
 public:
  explicit FailurePrinter(int rank) : rank_(rank) {}
  // GoogleTest must not be asked for the test's name while it reports a result: it holds its lock then.
  void OnTestStart(const testing::TestInfo& test) override { test_ = test.name(); }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.failed()) {
      std::cerr << "rank " << rank_ << ": " << test_ << ": "
                << (result.file_name() != nullptr ? result.file_name() : "") << ":" << result.line_number()
                << ": " << result.message() << std::endl;
    }
  }

 private:
  int rank_;
  std::string test_ = "set-up";
};

int run_tests(const MpiSession& session) {
  current_session() = &session;
  if (session.world().rank != 0) {
    testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailurePrinter(session.world().rank));
  }
  const int own = RUN_ALL_TESTS();
  int worst = own;
  for (const std::string& code : session.gather_strings(std::to_string(own))) {
    worst = std::max(worst, std::stoi(code));
  }
  return worst;
}

}  // namespace

const MpiSession& mpi_session() { return *current_session(); }

}  // namespace latentcast::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const latentcast::MpiSession session(&argc, &argv);
  try {
    const int code = latentcast::test::run_tests(session);
    if (code != 0) {
      // Ranks that failed in the middle of something may have left MPI in a state that it can't end in.
      session.abort(code);
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "rank " << session.world().rank << ": " << error.what() << std::endl;
    session.abort(1);
  }
}
