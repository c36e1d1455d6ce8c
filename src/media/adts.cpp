#include "adts.h"

#include <algorithm>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr std::array<int, 13> kRates = {96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                        22050, 16000, 12000, 11025, 8000,  7350};
constexpr int kLowComplexity = 2;  // AAC-LC's object type; ADTS stores it less one
constexpr int kVariableRate = 0x7FF;

int rate_code(int sample_rate) {
  const auto found = std::find(kRates.begin(), kRates.end(), sample_rate);
  return found == kRates.end() ? -1 : static_cast<int>(found - kRates.begin());
}

}  // namespace

bool aac_knows_rate(int sample_rate) { return rate_code(sample_rate) >= 0; }

std::optional<AdtsHeader> parse_adts(std::span<const uint8_t> b) {
  if (b.size() < kAdtsHeaderBytes || b[0] != 0xFF || (b[1] & 0xF6) != 0xF0) return std::nullopt;
  const size_t rate = (b[2] >> 2) & 15;
  AdtsHeader header;
  header.channels = (b[2] & 1) << 2 | b[3] >> 6;
  header.header_bytes = (b[1] & 1) != 0 ? 7 : 9;
  header.frame_bytes = (b[3] & 3) << 11 | b[4] << 3 | b[5] >> 5;
  const bool low_complexity = (b[2] >> 6) == kLowComplexity - 1;
  const bool one_frame = (b[6] & 3) == 0;
  if (!low_complexity || !one_frame || rate >= kRates.size() || header.frame_bytes <= header.header_bytes) {
    return std::nullopt;
  }
  header.sample_rate = kRates[rate];
  return header;
}

std::array<uint8_t, kAdtsHeaderBytes> make_adts(int sample_rate, int channels, int payload_bytes) {
  const int rate = rate_code(sample_rate);
  const int size = payload_bytes + kAdtsHeaderBytes;
  if (rate < 0 || size >= 1 << 13) throw InternalError("an AAC frame that ADTS can't hold");
  return {0xFF,
          0xF1,
          static_cast<uint8_t>((kLowComplexity - 1) << 6 | rate << 2 | channels >> 2),
          static_cast<uint8_t>((channels & 3) << 6 | size >> 11),
          static_cast<uint8_t>(size >> 3 & 0xFF),
          static_cast<uint8_t>((size & 7) << 5 | kVariableRate >> 6),
          static_cast<uint8_t>((kVariableRate & 63) << 2)};
}

std::array<uint8_t, 2> aac_config(const AdtsHeader& header) {
  const int rate = rate_code(header.sample_rate);
  const int bits = kLowComplexity << 11 | rate << 7 | header.channels << 3;
  return {static_cast<uint8_t>(bits >> 8), static_cast<uint8_t>(bits & 0xFF)};
}

}  // namespace latentcast
