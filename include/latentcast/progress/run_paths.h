#pragma once

#include <cstdint>
#include <filesystem>

#include "latentcast/config/render_job.h"

namespace latentcast {

/// Where everything of a run lies. Pure names, the same on all ranks; touches no file.
struct RunPaths {
  explicit RunPaths(const RenderJob& job)
      : RunPaths(job.run_dir, job.save_file.empty() ? job.run_dir / "video.mp4" : job.save_file) {}
  /// Of a run that is only looked at.
  explicit RunPaths(const std::filesystem::path& run_dir) : RunPaths(run_dir, run_dir / "video.mp4") {}

  std::filesystem::path root, video;

  std::filesystem::path job() const { return root / "job.yaml"; }
  std::filesystem::path identity() const { return root / "identity.json"; }
  std::filesystem::path layout() const { return root / "layout.json"; }
  std::filesystem::path lock() const { return root / "lock"; }
  std::filesystem::path stop_file() const { return root / "stop"; }
  std::filesystem::path conditions() const { return root / "conditions.h5"; }
  std::filesystem::path sound_track() const { return root / "sound.aac"; }
  std::filesystem::path segments() const { return root / "segments"; }
  std::filesystem::path segment_manifest() const { return segments() / "manifest.json"; }
  std::filesystem::path live_playlist() const { return root / "live.m3u8"; }
  std::filesystem::path checkpoints() const { return root / "checkpoint"; }
  /// The finished checkpoint whose next clip is `position`, and the folder it is written in before that.
  std::filesystem::path checkpoint(int64_t position) const;
  std::filesystem::path checkpoint_part(int64_t position) const;
  std::filesystem::path report() const { return root / "report.json"; }
  std::filesystem::path telemetry() const { return root / "telemetry.csv"; }
  std::filesystem::path log(int rank) const;

 private:
  RunPaths(std::filesystem::path run_dir, std::filesystem::path video_file)
      : root(std::move(run_dir)), video(std::move(video_file)) {}
};

}  // namespace latentcast
