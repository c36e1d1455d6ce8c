#include "latentcast/progress/segment_store.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "live_playlist.h"

#include "latentcast/error.h"
#include "latentcast/progress/checksum.h"
#include "latentcast/progress/durable_file.h"
#include "latentcast/progress/pause_point.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

std::string segment_name(int64_t clip, const char* ending) {
  char name[40];
  std::snprintf(name, sizeof name, "%06lld%s", static_cast<long long>(clip), ending);
  return name;
}

/// What counts as finished: the manifest, corrected by what the checkpoint knows.
std::vector<SegmentEntry> merge(std::vector<SegmentEntry> listed, const std::vector<SegmentEntry>& known) {
  if (listed.size() < known.size()) {
    return known;
  }
  std::copy(known.begin(), known.end(), listed.begin());
  return listed;
}

/// Segments that a killed run was about to compare: they will be rendered again.
void sweep(const fs::path& folder) {
  std::vector<fs::path> stale;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".again.ts") || name.ends_with(".again.ts.part")) stale.push_back(entry.path());
  }
  std::error_code ignored;
  for (const fs::path& file : stale) fs::remove(file, ignored);
}

}  // namespace

SegmentStore::SegmentStore(const RunPaths& paths, const Settings& settings,
                           const std::vector<SegmentEntry>& known, Notes note)
    : paths_(paths), settings_(settings), note_(std::move(note)) {
  make_folders(paths_.segments());
  sweep(paths_.segments());
  try {
    manifest_ = read_segment_manifest(paths_).value_or(SegmentManifest{});
  } catch (const InputError& error) {
    note_(std::string(error.what()) + "; it is written anew, and clips it may have named are rendered again");
  }
  const auto position = static_cast<int64_t>(known.size());
  manifest_.segments = merge(std::move(manifest_.segments), known);
  if (settings.replace) {
    manifest_.may_differ_from = std::min(manifest_.may_differ_from.value_or(position), position);
  }
  if (manifest_.clips != settings.clips) {
    manifest_.video.reset();
  }
  manifest_.clips = settings.clips;
  manifest_.frames_a_clip = settings.frames_a_clip;
  write();
}

fs::path SegmentStore::place_for(int64_t clip) const {
  return paths_.segments() / segment_name(clip, listed(clip) ? ".again.ts" : ".ts");
}

void SegmentStore::commit(int64_t clip, int64_t frames) {
  const fs::path file = place_for(clip);
  std::error_code error;
  SegmentEntry entry{clip, segment_name(clip, ".ts"), frames,
                     static_cast<int64_t>(fs::file_size(file, error)), sha256_of_output(file)};
  pause_point("segment-closed");
  if (listed(clip)) {
    compare(std::move(entry));
  } else {
    list(entry);
  }
  pause_point("segment-listed");
}

void SegmentStore::list(const SegmentEntry& entry) {
  if (entry.clip != static_cast<int64_t>(manifest_.segments.size())) {
    throw InternalError("the segment of clip " + std::to_string(entry.clip) + " comes after " +
                        std::to_string(manifest_.segments.size()) + " others");
  }
  manifest_.segments.push_back(entry);
  write();
}

void SegmentStore::compare(SegmentEntry again) {
  SegmentEntry& before = manifest_.segments[static_cast<size_t>(again.clip)];
  const fs::path here = paths_.segments() / before.file;
  const fs::path beside = place_for(again.clip);
  if (again == before) {
    const std::string damage = segment_damage(paths_, before);
    if (damage.empty()) {
      fs::remove(beside);
      return;
    }
    note_(here.string() + " " + damage + "; it has been rendered again to the same bytes");
    rename_durably(beside, here);
    return;
  }
  if (!manifest_.may_differ_from || again.clip < *manifest_.may_differ_from) {
    throw InternalError(beside.string() + ", rendered again, differs from " + here.string() +
                        ", which stays as it was. The same job gives the same bytes on one kind of device: "
                        "has the program, a library or the machine changed? To accept the new ones from this "
                        "clip on, remove " +
                        paths_.segment_manifest().string() + " and run again");
  }
  if (!std::exchange(told_of_replacing_, true)) {
    note_("clip " + std::to_string(again.clip) +
          " came out different from before: its segment is replaced, and those after it that differ");
  }
  rename_durably(beside, here);
  before = std::move(again);
  write();
}

std::vector<fs::path> SegmentStore::files() const {
  std::vector<fs::path> files;
  for (const SegmentEntry& entry : entries(manifest_.clips)) {
    files.push_back(paths_.segments() / entry.file);
    const std::string damage = segment_damage(paths_, entry);
    if (!damage.empty()) {
      throw InputError(files.back().string() + " " + damage + "; to have it rendered again, remove " +
                       paths_.checkpoints().string() + " and " + paths_.segment_manifest().string() +
                       " and run again");
    }
  }
  return files;
}

std::vector<SegmentEntry> SegmentStore::entries(int64_t count) const {
  if (count > static_cast<int64_t>(manifest_.segments.size())) {
    throw InternalError("only " + std::to_string(manifest_.segments.size()) + " of " + std::to_string(count) +
                        " segments are finished");
  }
  return {manifest_.segments.begin(), manifest_.segments.begin() + count};
}

void SegmentStore::finish(const fs::path& video) {
  std::error_code error;
  int64_t frames = 0;
  for (const SegmentEntry& entry : manifest_.segments) {
    frames += entry.frames;
  }
  manifest_.video = {fs::absolute(video), manifest_.clips, frames,
                     static_cast<int64_t>(fs::file_size(video, error)), sha256_of_output(video)};
  write();
}

void SegmentStore::write() {
  write_text_file(paths_.segment_manifest(), manifest_.to_json());
  write_text_file(paths_.live_playlist(),
                  live_playlist(manifest_, settings_.frames_per_second, manifest_.video.has_value()));
}

}  // namespace latentcast
