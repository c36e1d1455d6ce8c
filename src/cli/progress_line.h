#pragma once

#include <cstdio>
#include <string>

#include "latentcast/pipeline/render.h"

namespace latentcast {

/// Shows a render's progress on stderr: one line that is drawn over on a terminal, a line a clip in a log.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const RenderProgress& progress);

 private:
  bool terminal_;
  bool drawn_ = false;
  int64_t clips_shown_ = 0;
  std::string phase_;

  void draw(double part, const std::string& text);
  void begin_phase(const std::string& phase);
};

/// "12.3/30.4 GB of weights  5.1 GB/s"
std::string loading_text(const RenderProgress& progress);
/// A phase of RenderProgress in words.
std::string phase_text(const std::string& phase);
/// "clip 3/10  144/480 frames  12.3 frames/s  0:27 left"
std::string progress_text(const RenderProgress& progress);

}  // namespace latentcast
