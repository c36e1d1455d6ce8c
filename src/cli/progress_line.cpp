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

std::string bar(double part) {
  const auto filled = static_cast<int>(part * kBarWidth);
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

std::string loading_text(const RenderProgress& p) {
  const bool large = p.bytes >= 1'000'000'000;
  const double unit = large ? 1e9 : 1e6;
  const std::string name = large ? " GB" : " MB";
  std::string text = format("%.1f", static_cast<double>(p.bytes_done) / unit) +
                     format("/%.1f", static_cast<double>(p.bytes) / unit) + name + " of weights";
  if (p.bytes_done > 0 && p.seconds > 0) {
    text += format("  %.1f", static_cast<double>(p.bytes_done) / p.seconds / unit) + name + "/s";
  }
  return text;
}

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() {
  if (drawn_) {
    std::fputc('\n', stderr);
  }
}

void ProgressLine::draw(double part, const std::string& text) {
  std::fprintf(stderr, "\r\033[K%s%s", bar(part).c_str(), text.c_str());
  drawn_ = true;
}

void ProgressLine::begin_phase(const std::string& phase) {
  phase_ = phase;
  if (drawn_) {
    std::fputc('\n', stderr);
    drawn_ = false;
  }
  if (phase != "render") {
    std::fprintf(stderr, "%s\n", phase_text(phase).c_str());
  }
}

void ProgressLine::show(const RenderProgress& progress) {
  const auto part = [](int64_t done, int64_t all) {
    return all == 0 ? 0.0 : static_cast<double>(done) / static_cast<double>(all);
  };
  if (progress.phase != phase_) {
    begin_phase(progress.phase);
  }
  if (progress.bytes > 0 && terminal_) {
    draw(part(progress.bytes_done, progress.bytes), loading_text(progress));
  } else if (progress.bytes > 0 && progress.bytes_done == progress.bytes) {
    std::fprintf(stderr, "%s\n", loading_text(progress).c_str());
  } else if (progress.phase == "render" && terminal_) {
    draw(part(progress.frames_done, progress.frames), progress_text(progress));
  } else if (progress.phase == "render" && progress.clips_done > clips_shown_) {
    clips_shown_ = progress.clips_done;
    std::fprintf(stderr, "%s\n", progress_text(progress).c_str());
  }
  std::fflush(stderr);
}

}  // namespace latentcast
