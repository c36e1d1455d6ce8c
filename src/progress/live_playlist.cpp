#include "live_playlist.h"

#include <cstdio>

namespace latentcast {

std::string live_playlist(const SegmentManifest& manifest, int frames_per_second, bool ended) {
  const int64_t longest = (manifest.frames_a_clip + frames_per_second - 1) / frames_per_second;
  // The target may not change while the playlist grows, so it follows from the job, not from the segments.
  std::string text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:" + std::to_string(longest) +
                     "\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:EVENT\n"
                     "#EXT-X-INDEPENDENT-SEGMENTS\n";
  for (const SegmentEntry& entry : manifest.segments) {
    char seconds[40];
    std::snprintf(seconds, sizeof seconds, "%.6f",
                  static_cast<double>(entry.frames) / static_cast<double>(frames_per_second));
    text += std::string("#EXTINF:") + seconds + ",\nsegments/" + entry.file + "\n";
  }
  return ended ? text + "#EXT-X-ENDLIST\n" : text;
}

}  // namespace latentcast
