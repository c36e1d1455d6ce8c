#include <cmath>

#include "adts.h"
#include "media_input.h"

#include "latentcast/error.h"
#include "latentcast/media/sound_track.h"

namespace latentcast {
namespace {

constexpr char kWhat[] = "sound track";

}  // namespace

SoundTrackReader::SoundTrackReader(const std::filesystem::path& path, double from_seconds) : path_(path) {
  require_input_file(path, kWhat);
  file_.open(path, std::ios::binary);
  if (!file_) throw_unreadable(path, kWhat, "it can't be opened; check its rights");
  rewind();
  std::vector<uint8_t> bytes;
  int frame_bytes = 0;
  if (!read_header(bytes, frame_bytes)) throw_unreadable(path, kWhat, "it is empty; make it anew");
  const auto header = parse_adts(bytes);
  sample_rate_ = header->sample_rate;
  channels_ = header->channels;
  rewind();
  if (from_seconds > 0) {
    const auto start = static_cast<int64_t>(std::ceil(from_seconds * sample_rate_));
    skip_until([start](int64_t packet) { return packet >= start; });
  }
}

void SoundTrackReader::rewind() {
  file_.clear();
  file_.seekg(0);
  next_start_ = -kAacFrame;
}

/// False at the end of the file.
bool SoundTrackReader::read_header(std::vector<uint8_t>& header, int& frame_bytes) {
  header.resize(kAdtsHeaderBytes);
  file_.read(reinterpret_cast<char*>(header.data()), kAdtsHeaderBytes);
  if (file_.gcount() == 0) return false;
  const auto parsed = parse_adts(std::span(header).first(static_cast<size_t>(file_.gcount())));
  if (!parsed) throw_unreadable(path_, kWhat, "it is damaged or no such track; make it anew");
  const bool changed = parsed->sample_rate != sample_rate_ || parsed->channels != channels_;
  if (sample_rate_ != 0 && changed) throw_unreadable(path_, kWhat, "it changes midway; make it anew");
  frame_bytes = parsed->frame_bytes;
  return true;
}

std::optional<SoundPacket> SoundTrackReader::next() {
  SoundPacket packet;
  int frame_bytes = 0;
  if (!read_header(packet.data, frame_bytes)) return std::nullopt;
  packet.data.resize(static_cast<size_t>(frame_bytes));
  file_.read(reinterpret_cast<char*>(packet.data.data()) + kAdtsHeaderBytes, frame_bytes - kAdtsHeaderBytes);
  if (file_.gcount() != frame_bytes - kAdtsHeaderBytes) {
    throw_unreadable(path_, kWhat, "it is cut short; make it anew");
  }
  packet.start_sample = next_start_;
  next_start_ += kAacFrame;
  return packet;
}

template <typename Stop>
void SoundTrackReader::skip_until(Stop stop) {
  std::vector<uint8_t> header;
  int frame_bytes = 0;
  while (!stop(next_start_) && read_header(header, frame_bytes)) {
    file_.ignore(frame_bytes - kAdtsHeaderBytes);
    next_start_ += kAacFrame;
  }
}

void SoundTrackReader::seek_to_frame(int64_t frame, int frames_per_second) {
  // Whole numbers, so that two segments never both take a packet, nor neither.
  const auto stop = [=, this](int64_t start) {
    return frame <= 0 || start * frames_per_second >= frame * sample_rate_;
  };
  // Going on from where the packet before still starts too early gives the same as starting over.
  if (next_start_ > -kAacFrame && stop(next_start_ - kAacFrame)) rewind();
  skip_until(stop);
}

}  // namespace latentcast
