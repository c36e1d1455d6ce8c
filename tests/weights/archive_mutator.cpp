#include "weights/archive_mutator.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <span>

#include "weights/zip_directory.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr std::array<uint64_t, 16> kNumbers = {0,
                                               1,
                                               2,
                                               7,
                                               8,
                                               0x7f,
                                               0xff,
                                               0xffff,
                                               0x7fffffff,
                                               0x80000000,
                                               0xffffffff,
                                               0x100000000,
                                               0x4000000000000000,
                                               0x7fffffffffffffff,
                                               0x8000000000000000,
                                               0xffffffffffffffff};

constexpr std::array<const char*, 16> kJsonPieces = {"0",
                                                     "-1",
                                                     "1",
                                                     "4",
                                                     "18446744073709551615",
                                                     "9223372036854775807",
                                                     "4611686018427387904",
                                                     "1e9",
                                                     "1.5",
                                                     "null",
                                                     "\"\"",
                                                     "[]",
                                                     "{}",
                                                     "[[[[",
                                                     "1,1,1,1,1,1,1,1",
                                                     "\"dtype\":"};

constexpr std::string_view kOpcodes =
    "(.JKMNQRXabcehj]qrst)u}\x80\x85\x86\x87\x88\x89\x8aio\x81\x93\x94\x95"
    "0123GIFLSTUV";

std::string little_endian(uint64_t value, size_t count) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xff);
  return bytes;
}

}  // namespace

ArchiveMutator::ArchiveMutator(std::vector<std::string> corpus, uint64_t seed)
    : corpus_(std::move(corpus)), random_(seed) {
  for (const std::string& file : corpus_) {
    if (file.size() > 10 && file[8] == '{') headers_.push_back(file);
    try {
      Records records;
      for (const auto& [name, content] : read_zip_directory(std::as_bytes(std::span(file)), "corpus")) {
        records.emplace_back(name,
                             std::string(reinterpret_cast<const char*>(content.data()), content.size()));
      }
      zips_.push_back(std::move(records));
    } catch (const InputError&) {
      continue;  // not a zip
    }
  }
}

size_t ArchiveMutator::below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }

std::string ArchiveMutator::next() {
  const size_t kind = below(8);
  if (kind < 2) {
    std::string file = any_file();
    for (size_t i = below(4) + 1; i > 0; --i) mutate_bytes(file);
    return file;
  }
  if (kind < 5) {
    std::string file = headers_[below(headers_.size())];
    for (size_t i = below(3) + 1; i > 0; --i) mutate_json_header(file);
    if (chance(8)) mutate_bytes(file);
    return file;
  }
  Records records = zips_[below(zips_.size())];
  for (size_t i = below(4) + 1; i > 0; --i) mutate_records(records);
  std::string file = build_zip(records);
  if (chance(8)) mutate_bytes(file);
  return file;
}

void ArchiveMutator::overwrite_integer(std::string& bytes) {
  const size_t count = size_t{1} << below(4);
  if (bytes.size() < count) return;
  const uint64_t near = chance(3) ? bytes.size() - below(64) : kNumbers[below(kNumbers.size())];
  bytes.replace(below(bytes.size() - count + 1), count, little_endian(near, count));
}

void ArchiveMutator::mutate_bytes(std::string& bytes) {
  if (bytes.empty()) bytes = "x";
  const size_t at = below(bytes.size());
  const size_t length = std::min(bytes.size() - at, below(chance(4) ? 256 : 8) + 1);
  switch (below(8)) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
      return;
    case 1:
      overwrite_integer(bytes);
      return;
    case 2:
      bytes.resize(at);
      return;
    case 3:
      bytes.append(below(300), static_cast<char>(random_()));
      return;
    case 4:
      bytes.erase(at, length);
      return;
    case 5:
      bytes.insert(below(bytes.size()), bytes.substr(at, length));
      return;
    case 6: {
      const std::string& other = any_file();
      bytes = bytes.substr(0, at) + other.substr(below(other.size()));
      return;
    }
    default:
      for (size_t i = 0; i < length; ++i) bytes[at + i] = static_cast<char>(random_());
  }
}

void ArchiveMutator::mutate_json_header(std::string& file) {
  uint64_t length = 0;
  if (file.size() < 10) return;
  std::memcpy(&length, file.data(), 8);
  if (length > file.size() - 8) return;
  std::string json = file.substr(8, length);
  std::string data = file.substr(8 + length);
  const size_t start = below(json.size());
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  const auto digit = std::find_if(json.begin() + static_cast<ptrdiff_t>(start), json.end(), is_digit);
  const auto end = std::find_if_not(digit, json.end(), is_digit);
  const size_t kind = below(6);
  if (kind < 2) {
    json.replace(digit, end, kJsonPieces[below(kJsonPieces.size())]);
  } else if (kind == 2) {
    // Off by a few, which is what real mistakes look like.
    if (digit != end && end - digit < 9)
      json.replace(digit, end, std::to_string(std::stoul(std::string(digit, end)) + below(9) - 4));
  } else if (kind == 3) {
    json.insert(start, kJsonPieces[below(kJsonPieces.size())]);
  } else if (kind == 4) {
    data.resize(data.size() + below(9), 'x');
  } else {
    mutate_bytes(json);
  }
  file = little_endian(json.size(), 8) + json + data;
}

void ArchiveMutator::mutate_pickle(std::string& pickle) {
  if (pickle.size() < 3) pickle = "\x80\x02.";
  const size_t at = below(pickle.size());
  switch (below(6)) {
    case 0:
      pickle[at] = kOpcodes[below(kOpcodes.size())];
      return;
    case 1:
      pickle.insert(at, 1, kOpcodes[below(kOpcodes.size())]);
      return;
    case 2:
      pickle.insert(at, "\x8a\x08" + little_endian(kNumbers[below(kNumbers.size())], 8));
      return;
    case 3: {
      // A number where a number was: sizes, strides, offsets, counts.
      const size_t found = pickle.find('K', at);
      if (found == std::string::npos || found + 2 > pickle.size()) return;
      const uint64_t number = chance(2) ? below(16) : kNumbers[below(kNumbers.size())];
      pickle.replace(found, 2, "\x8a\x08" + little_endian(number, 8));
      return;
    }
    case 4: {
      const size_t length = std::min(pickle.size() - at, below(64) + 1);
      const std::string piece = pickle.substr(at, length);
      for (size_t i = chance(16) ? 2000 : 1; i > 0; --i) pickle.insert(at, piece);
      return;
    }
    default:
      mutate_bytes(pickle);
  }
}

void ArchiveMutator::mutate_records(Records& records) {
  if (records.empty()) return;
  auto& [name, content] = records[below(records.size())];
  const auto is_pickle = [](const auto& record) { return record.first.ends_with("data.pkl"); };
  const auto pickle = std::find_if(records.begin(), records.end(), is_pickle);
  switch (below(10)) {
    case 0:
      content.resize(below(64));
      return;
    case 1:
      mutate_bytes(name);
      return;
    case 2:
      records.emplace_back(name, content);
      return;
    case 3:
      mutate_bytes(content);
      return;
    default:
      if (pickle != records.end()) mutate_pickle(pickle->second);
  }
}

std::string ArchiveMutator::build_zip(const Records& records) {
  std::string file;
  std::string directory;
  const bool wide = chance(4);
  for (const auto& [name, content] : records) {
    const std::string sizes = little_endian(content.size(), 4) + little_endian(content.size(), 4);
    const std::string name_length = little_endian(name.size(), 2);
    const std::string offset = little_endian(file.size(), 4);
    file +=
        "PK\x03\x04" + std::string(14, '\0') + sizes + name_length + std::string(2, '\0') + name + content;
    directory += "PK\x01\x02" + std::string(16, '\0');
    if (wide) {
      const std::string extra = little_endian(1, 2) + little_endian(24, 2) +
                                little_endian(content.size(), 8) + little_endian(content.size(), 8) + offset +
                                std::string(4, '\0');
      directory += std::string(8, '\xff') + name_length + little_endian(extra.size(), 2) +
                   std::string(10, '\0') + std::string(4, '\xff') + name + extra;
    } else {
      directory += sizes + name_length + std::string(12, '\0') + offset + name;
    }
  }
  const size_t begin = file.size();
  file += directory;
  if (wide) {
    const std::string count = little_endian(records.size(), 8);
    const std::string end64 = "PK\x06\x06" + little_endian(44, 8) + std::string(12, '\0') + count + count +
                              little_endian(directory.size(), 8) + little_endian(begin, 8);
    file += end64 + "PK\x06\x07" + std::string(4, '\0') + little_endian(begin + directory.size(), 8) +
            little_endian(1, 4);
    return file + "PK\x05\x06" + std::string(4, '\0') + std::string(12, '\xff') + std::string(2, '\0');
  }
  const std::string count = little_endian(records.size(), 2);
  return file + "PK\x05\x06" + std::string(4, '\0') + count + count + little_endian(directory.size(), 4) +
         little_endian(begin, 4) + std::string(2, '\0');
}

}  // namespace latentcast
