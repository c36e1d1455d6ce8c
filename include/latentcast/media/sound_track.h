#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <vector>

namespace latentcast {

/// Mixes the sounds (sum, clipped), cuts them after `max_seconds` (<= 0: not at all) and writes them as one
/// AAC track, a plain ADTS stream (.aac), through `out`.part. Its rate is the first sound's where AAC knows
/// it and it is at least 16 kHz, else 48 kHz; mono if all sounds are, else stereo. Memory doesn't grow with
/// the sounds; equal sounds give equal bytes. `on_step` is called every now and then. Throws InputError for a
/// sound, OutputError for `out`.
void encode_sound_track(const std::vector<std::filesystem::path>& sounds, const std::filesystem::path& out,
                        double max_seconds, const std::function<void()>& on_step = {});

/// One AAC frame of 1024 samples, with its ADTS header.
struct SoundPacket {
  int64_t start_sample = 0;  ///< -1024 for the first: what the encoder put before the sound
  std::vector<uint8_t> data;
};

/// Hands out the packets of a track written by encode_sound_track(), in order.
class SoundTrackReader {
 public:
  /// Opens the track at the first packet that starts at or after `from_seconds` (<= 0: at its beginning).
  /// Throws InputError naming the file if it is missing or no such track.
  explicit SoundTrackReader(const std::filesystem::path& path, double from_seconds = 0);

  int sample_rate() const { return sample_rate_; }
  int channels() const { return channels_; }

  /// Start of the next packet in samples; past the end, the track's end.
  int64_t position() const { return next_start_; }

  /// The next packet, or nothing at the track's end. Throws InputError if the track is damaged here.
  std::optional<SoundPacket> next();

  /// Moves to the first packet that starts at or after frame/frames_per_second (frame <= 0: the track's
  /// beginning), forwards or backwards.
  void seek_to_frame(int64_t frame, int frames_per_second);

 private:
  void rewind();
  bool read_header(std::vector<uint8_t>& header, int& frame_bytes);
  template <typename Stop>
  void skip_until(Stop stop);

  std::filesystem::path path_;
  std::ifstream file_;
  int sample_rate_ = 0;
  int channels_ = 0;
  int64_t next_start_ = 0;
};

}  // namespace latentcast
