#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "latentcast/media/sound_track.h"

namespace latentcast {

struct VideoSettings {
  int width = 0;  ///< even
  int height = 0;
  int frames_per_second = 25;
  int crf = 18;
  int threads = 1;  ///< the file's bytes depend on it
  std::string preset = "medium";
};

/// Writes one closed piece of a video: MPEG-TS with H.264 (yuv420p, BT.709) started anew, so it plays alone,
/// and the part of the sound track that belongs to it. Equal frames, settings and sound give equal bytes.
class SegmentWriter {
 public:
  /// The piece starts at `first_frame` of the whole video; its timestamps are those of the whole video plus a
  /// fixed 1.4 s, which MPEG-TS needs to start above zero. `sound` is moved to the piece's start and must
  /// outlive the writer; nullptr: no sound. Writes to `path`.part. Throws OutputError if that can't be
  /// opened, InputError for settings that the encoder refuses.
  SegmentWriter(const std::filesystem::path& path, const VideoSettings& settings, int64_t first_frame,
                SoundTrackReader* sound);
  /// Without close(), removes the unfinished file.
  ~SegmentWriter();
  SegmentWriter(SegmentWriter&&) noexcept;
  SegmentWriter& operator=(SegmentWriter&&) noexcept;

  /// One frame as yuv420p (BT.709, limited range): Y [height][width], then U and V [height / 2][width / 2].
  /// Throws InternalError if it has another size, OutputError if the disk is full.
  void write(std::span<const uint8_t> yuv);

  /// Finishes the file, makes it durable (file and folder synced) and gives it its name; `before_naming` is
  /// called in between. Returns the frames written; throws InternalError if there were none.
  int64_t close(const std::function<void()>& before_naming = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace latentcast
