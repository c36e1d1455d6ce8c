#include "progress_line.h"

#include <cmath>

#include <unistd.h>

namespace latentcast {
namespace {

constexpr int kBarWidth = 24;

std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<long long>(std::llround(seconds));
  char text[48];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  }
  return text;
}

std::string bar(const RenderProgress& p) {
  const auto filled = p.frames == 0 ? 0 : static_cast<int>(p.frames_done * kBarWidth / p.frames);
  return "[" + std::string(static_cast<size_t>(filled), '#') +
         std::string(static_cast<size_t>(kBarWidth - filled), '.') + "] ";
}

}  // namespace

std::string phase_text(const std::string& phase) {
  if (phase == "conditions") {
    return "encoding prompt, sound and picture";
  }
  if (phase == "weights") {
    return "loading the transformer and the decoder";
  }
  if (phase == "render") {
    return "rendering";
  }
  return phase == "join" ? "joining the segments" : phase;
}

std::string progress_text(const RenderProgress& p) {
  const int64_t clip = p.frames_done == p.frames ? p.clips : std::min(p.clips_done + 1, p.clips);
  std::string text = "clip " + std::to_string(clip) + "/" + std::to_string(p.clips) + "  " +
                     std::to_string(p.frames_done) + "/" + std::to_string(p.frames) + " frames";
  if (p.frames_done > p.frames_before && p.seconds > 0) {
    const double rate = static_cast<double>(p.frames_done - p.frames_before) / p.seconds;
    text += "  " + format("%.1f", rate) + " frames/s  " +
            clock_text(static_cast<double>(p.frames - p.frames_done) / rate) + " left";
  }
  return text;
}

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() {
  if (drawn_) {
    std::fputc('\n', stderr);
  }
}

void ProgressLine::show(const RenderProgress& progress) {
  if (progress.phase != "render") {
    std::fprintf(stderr, "%s%s\n", drawn_ ? "\n" : "", phase_text(progress.phase).c_str());
    drawn_ = false;
  } else if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s%s", bar(progress).c_str(), progress_text(progress).c_str());
    drawn_ = true;
  } else if (progress.clips_done > clips_shown_) {
    clips_shown_ = progress.clips_done;
    std::fprintf(stderr, "%s\n", progress_text(progress).c_str());
  }
  std::fflush(stderr);
}

}  // namespace latentcast
