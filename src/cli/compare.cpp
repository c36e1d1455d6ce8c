#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <optional>

#include "commands.h"
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "latentcast/error.h"
#include "latentcast/media/video_compare.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kTooDifferent = 1;  // as cmp and diff say it
constexpr char kMeasure[] = "PSNR and SSIM of all planes by their samples, as FFmpeg's filters psnr and ssim";

struct CompareJob {
  std::string a, b;
  int64_t segment_frames = 48;
  std::optional<double> min_psnr;
  bool json = false;
};

struct Segment {
  std::string name;
  Likeness likeness;
};

/// The closed segments of a run in their order; those being written end in .part.
std::vector<fs::path> segments_of(const fs::path& run) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run / "segments", error)) {
    if (entry.path().extension() == ".ts") files.push_back(entry.path());
  }
  if (error || files.empty()) {
    throw InputError("'" + run.string() + "' holds no segments/*.ts: name a run's folder or a video");
  }
  std::sort(files.begin(), files.end(), [](const fs::path& x, const fs::path& y) {
    const std::string a = x.filename().string(), b = y.filename().string();
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return files;
}

std::vector<Segment> compare_runs(const CompareJob& job) {
  const std::vector<fs::path> a = segments_of(job.a), b = segments_of(job.b);
  if (a.size() != b.size()) {
    throw InputError("can't compare '" + job.a + "' (" + std::to_string(a.size()) + " segments) with '" +
                     job.b + "' (" + std::to_string(b.size()) +
                     " segments): give two runs of the same length");
  }
  std::vector<Segment> segments;
  for (size_t i = 0; i < a.size(); ++i) {
    segments.push_back({a[i].stem().string(), compare_videos(a[i], b[i], /*segment_frames=*/0).front()});
  }
  return segments;
}

std::vector<Segment> compare(const CompareJob& job) {
  const bool run = fs::is_directory(job.a);
  if (run != fs::is_directory(job.b)) {
    throw InputError("'" + (run ? job.a : job.b) + "' is a folder and '" + (run ? job.b : job.a) +
                     "' is not: give two videos or two runs' folders");
  }
  if (run) return compare_runs(job);
  std::vector<Segment> segments;
  int64_t first = 0;
  for (const Likeness& likeness : compare_videos(job.a, job.b, job.segment_frames)) {
    const int64_t end = first + likeness.frames();
    segments.push_back({"frames " + std::to_string(first) + "-" + std::to_string(end - 1), likeness});
    first = end;
  }
  return segments;
}

std::string decibels(const Likeness& likeness) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", likeness.psnr());
  return likeness.identical() ? "inf" : text;
}

std::string table(const std::vector<Segment>& segments, const Likeness& overall) {
  size_t width = std::string("overall").size();
  for (const Segment& segment : segments) width = std::max(width, segment.name.size());
  std::string text;
  const auto line = [&](const std::string& name, const std::string& frames, const std::string& psnr,
                        const std::string& ssim) {
    char row[64];
    std::snprintf(row, sizeof row, "%10s %10s %10s\n", frames.c_str(), psnr.c_str(), ssim.c_str());
    text += name + std::string(width - name.size(), ' ') + row;
  };
  const auto add = [&](const std::string& name, const Likeness& likeness) {
    char ssim[32];
    std::snprintf(ssim, sizeof ssim, "%.6f", likeness.ssim());
    line(name, std::to_string(likeness.frames()), decibels(likeness), ssim);
  };
  line("segment", "frames", "PSNR dB", "SSIM");
  for (const Segment& segment : segments) add(segment.name, segment.likeness);
  add("overall", overall);
  return text;
}

/// JSON has no infinity: identical segments have no psnr.
Json figures(const Likeness& likeness) {
  Json json = {{"frames", likeness.frames()},
               {"psnr", nullptr},
               {"ssim", likeness.ssim()},
               {"identical", likeness.identical()}};
  if (!likeness.identical()) json["psnr"] = likeness.psnr();
  return json;
}

std::string json_text(const CompareJob& job, const std::vector<Segment>& segments, const Likeness& overall) {
  Json json = {{"a", job.a}, {"b", job.b}, {"measure", kMeasure}, {"segments", Json::array()}};
  for (const Segment& segment : segments) {
    Json row = {{"name", segment.name}};
    row.update(figures(segment.likeness));
    json["segments"].push_back(row);
  }
  json["overall"] = figures(overall);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// Names the worst segment that is below --min_psnr.
int judge(const CompareJob& job, const std::vector<Segment>& segments) {
  const auto worst = std::min_element(
      segments.begin(), segments.end(),
      [](const Segment& x, const Segment& y) { return x.likeness.psnr() < y.likeness.psnr(); });
  if (!job.min_psnr || worst->likeness.psnr() >= *job.min_psnr) return 0;
  char wanted[32];
  std::snprintf(wanted, sizeof wanted, "%g", *job.min_psnr);
  std::cerr << "latentcast: " << worst->name << ": PSNR " << decibels(worst->likeness)
            << " dB is below --min_psnr " << wanted << std::endl;
  return kTooDifferent;
}

CompareJob parse(int argc, const char* const* argv, CLI::App& app) {
  CompareJob job;
  app.name("latentcast compare");
  app.add_option("a", job.a, "a video, or a run's folder")->required();
  app.add_option("b", job.b, "what it is compared with: of the same kind, size and length")->required();
  app.add_option("--segment_frames", job.segment_frames, "videos: frames a segment; a run's are its clips")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  app.add_option("--min_psnr", job.min_psnr, "exit 1 if a segment's PSNR is below this, in dB");
  app.add_flag("--json", job.json, "print JSON instead of a table");
  app.footer(std::string(kMeasure) + ".\nExit code: 0 compared, 1 below --min_psnr, 64 can't be compared.");
  app.parse(argc, const_cast<char**>(argv));
  return job;
}

}  // namespace

int run_compare(int argc, const char* const* argv, const MpiSession& mpi) {
  CLI::App app("Says how alike two videos or two runs are.");
  CompareJob job;
  try {
    job = parse(argc, argv, app);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    throw InputError(std::string("compare: ") + error.what() + "; see latentcast compare --help");
  }
  if (mpi.world().rank != 0) return 0;
  const std::vector<Segment> segments = compare(job);
  Likeness overall;
  for (const Segment& segment : segments) overall.add(segment.likeness);
  std::cout << (job.json ? json_text(job, segments, overall) : table(segments, overall)) << std::flush;
  return judge(job, segments);
}

}  // namespace latentcast
