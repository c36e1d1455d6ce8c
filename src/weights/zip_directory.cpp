#include "weights/zip_directory.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "weights/byte_reader.h"
#include "weights/tensor_layout.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kLocator64 = 0x07064b50;
constexpr uint64_t kEndSize = 22;
constexpr uint64_t kLocatorSize = 20;
constexpr uint64_t kMaxComment = 0xffff;
constexpr uint32_t kFull16 = 0xffff;
constexpr uint32_t kFull32 = 0xffffffff;  // "the real value is in the zip64 part"

struct Entry {
  std::string_view name;
  uint64_t size = 0;
  uint64_t offset = 0;  // of its local header
};

struct Directory {
  uint64_t entries = 0;
  uint64_t size = 0;
  uint64_t offset = 0;
};

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> file, const std::string& name) : file_(file), name_(name) {}

  std::map<std::string_view, std::span<const std::byte>> read() {
    const Directory directory = find_directory();
    ByteReader reader(slice(directory.offset, directory.size), "the zip directory of '" + name_ + "'");
    std::map<std::string_view, std::span<const std::byte>> contents;
    std::vector<std::pair<uint64_t, uint64_t>> taken;  // [begin, end) of each entry, header included
    uint64_t count = 0;
    for (; reader.left() > 0; ++count) {
      const Entry entry = read_central(reader);
      const auto content = locate(entry, directory.offset);
      const auto end = static_cast<uint64_t>(content.data() - file_.data()) + content.size();
      taken.emplace_back(entry.offset, end);
      if (!contents.emplace(entry.name, content).second)
        fail("has two entries named " + quote_name(entry.name));
    }
    if (count != directory.entries) fail("lists another number of entries than its directory has");
    check_overlaps(taken);
    return contents;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InputError("'" + name_ + "' can't be read as a zip archive: it " + what +
                     ". Download or save it again.");
  }

  std::span<const std::byte> slice(uint64_t offset, uint64_t size) const {
    if (offset > file_.size() || size > file_.size() - offset) fail("is cut short or damaged");
    return file_.subspan(offset, size);
  }

  uint64_t number(uint64_t offset, size_t count) const { return read_little_endian(slice(offset, count)); }

  /// The end record is the last thing but for a comment, whose length it tells.
  uint64_t find_end() const {
    if (file_.size() < kEndSize) fail("is too short");
    const uint64_t last = file_.size() - kEndSize;
    for (uint64_t back = 0; back <= std::min(last, kMaxComment); ++back) {
      const uint64_t at = last - back;
      if (number(at, 4) == kEnd && number(at + 20, 2) == back) return at;
    }
    fail("has no directory at its end: it is cut short");
  }

  Directory find_directory() const {
    const uint64_t end = find_end();
    const Directory small{number(end + 10, 2), number(end + 12, 4), number(end + 16, 4)};
    const bool needs_64 = small.entries == kFull16 || small.size == kFull32 || small.offset == kFull32;
    if (!needs_64) {
      if (number(end + 4, 2) != 0 || number(end + 6, 2) != 0) fail("is split into several files");
      return checked(small, end);
    }
    if (end < kLocatorSize || number(end - kLocatorSize, 4) != kLocator64) fail("lacks its zip64 directory");
    const uint64_t at = number(end - kLocatorSize + 8, 8);
    slice(at, 56);
    if (number(at, 4) != kEnd64) fail("lacks its zip64 directory");
    if (number(at + 16, 4) != 0 || number(at + 20, 4) != 0) fail("is split into several files");
    return checked({number(at + 32, 8), number(at + 40, 8), number(at + 48, 8)}, at);
  }

  Directory checked(const Directory& directory, uint64_t limit) const {
    if (directory.offset > limit || directory.size > limit - directory.offset)
      fail("has its directory out of place");
    return directory;
  }

  Entry read_central(ByteReader& reader) const {
    if (reader.number(4) != kCentralHeader) fail("has a damaged directory");
    reader.take(4);  // versions
    const uint64_t flags = reader.number(2);
    const uint64_t method = reader.number(2);
    reader.take(8);  // time, checksum
    uint64_t stored = reader.number(4);
    uint64_t size = reader.number(4);
    const uint64_t name_length = reader.number(2);
    const uint64_t extra_length = reader.number(2);
    const uint64_t comment_length = reader.number(2);
    reader.take(8);  // disk, attributes
    uint64_t offset = reader.number(4);
    const std::string_view entry_name = reader.text(name_length);
    read_zip64_extra(reader.take(extra_length), size, stored, offset);
    reader.take(comment_length);
    if ((flags & 1) != 0) fail("has the encrypted entry " + quote_name(entry_name));
    if (method != 0 || stored != size) {
      fail("has the compressed entry " + quote_name(entry_name) +
           "; weights must be stored as torch.save does it");
    }
    return {entry_name, size, offset};
  }

  void read_zip64_extra(std::span<const std::byte> extra, uint64_t& size, uint64_t& stored,
                        uint64_t& offset) const {
    constexpr uint64_t kZip64 = 1;
    ByteReader fields(extra, "an entry of '" + name_ + "'");
    while (fields.left() >= 4) {
      const uint64_t id = fields.number(2);
      const uint64_t length = fields.number(2);
      ByteReader field(fields.take(length), "a zip64 entry of '" + name_ + "'");
      if (id != kZip64) continue;
      for (uint64_t* value : {&size, &stored, &offset}) {
        if (*value == kFull32) *value = field.number(8);
      }
      return;
    }
  }

  /// The entry's content. Sizes come from the directory: the local header may leave them to a data
  /// descriptor.
  std::span<const std::byte> locate(const Entry& entry, uint64_t limit) const {
    constexpr uint64_t kLocalSize = 30;
    const std::string what = "has the entry " + quote_name(entry.name);
    slice(entry.offset, kLocalSize);
    if (number(entry.offset, 4) != kLocalHeader) fail(what + " at a wrong place");
    const uint64_t name_length = number(entry.offset + 26, 2);
    const uint64_t extra_length = number(entry.offset + 28, 2);
    const auto local_name = slice(entry.offset + kLocalSize, name_length);
    if (std::string_view(reinterpret_cast<const char*>(local_name.data()), local_name.size()) != entry.name) {
      fail(what + ", which is called otherwise where it lies");
    }
    const uint64_t begin = entry.offset + kLocalSize + name_length + extra_length;
    if (begin > limit || entry.size > limit - begin) fail(what + ", which reaches beyond the data");
    return file_.subspan(begin, entry.size);
  }

  void check_overlaps(std::vector<std::pair<uint64_t, uint64_t>>& taken) const {
    std::sort(taken.begin(), taken.end());
    for (size_t i = 1; i < taken.size(); ++i) {
      if (taken[i].first < taken[i - 1].second) fail("has entries that overlap");
    }
  }

  std::span<const std::byte> file_;
  const std::string& name_;
};

}  // namespace

std::map<std::string_view, std::span<const std::byte>> read_zip_directory(std::span<const std::byte> file,
                                                                          const std::string& name) {
  return ZipReader(file, name).read();
}

}  // namespace latentcast
