#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace latentcast {

/// Samples of an AAC frame.
constexpr int kAacFrame = 1024;

/// Bytes that are enough to read a header.
constexpr int kAdtsHeaderBytes = 7;

/// The header of an AAC-LC frame in an ADTS stream.
struct AdtsHeader {
  int sample_rate = 0;
  int channels = 0;
  int header_bytes = kAdtsHeaderBytes;  ///< 9 with a checksum
  int frame_bytes = 0;                  ///< header included
};

/// Whether AAC has a code for this rate.
bool aac_knows_rate(int sample_rate);

/// Nothing if these bytes don't begin such a frame.
std::optional<AdtsHeader> parse_adts(std::span<const uint8_t> bytes);

/// `payload_bytes` without the header. The rate must be known to AAC.
std::array<uint8_t, kAdtsHeaderBytes> make_adts(int sample_rate, int channels, int payload_bytes);

/// The decoder's set-up for a stream of such frames (AudioSpecificConfig).
std::array<uint8_t, 2> aac_config(const AdtsHeader& header);

}  // namespace latentcast
