#include "latentcast/media/picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <string>

#include "media_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "latentcast/error.h"

namespace latentcast {
namespace {

using testing::file_bytes;
using ::testing::HasSubstr;
using testing::media_file;
using testing::message_of;
using testing::TemporaryFolder;
using Bytes = std::vector<uint8_t>;

std::array<uint8_t, 3> pixel(const Picture& picture, int x, int y) {
  const uint8_t* at = picture.rgb.data() + (static_cast<size_t>(y) * picture.width + x) * 3;
  return {at[0], at[1], at[2]};
}

TEST(Picture, ResizesEveryCaseAsPillowDoes) {
  std::ifstream file(media_file("expected.json"));
  const auto rows = nlohmann::json::parse(file)["pictures"];
  ASSERT_EQ(rows.size(), 14U);
  for (const auto& row : rows) {
    const std::string name = row[0];
    const auto expected = testing::expected_tensor(name + "@" + std::to_string(row[1].get<int>()));
    const int height = row[2];
    const int width = row[3];
    ASSERT_EQ(expected.shape, (std::vector<int64_t>{height, width, 3}));
    const Picture picture = resize_and_crop(read_picture(media_file(name)), width, height);
    EXPECT_EQ(picture.width, width);
    EXPECT_EQ(picture.height, height);
    EXPECT_TRUE(picture.rgb == expected.bytes) << name << " at " << width << "x" << height;
  }
}

TEST(Picture, ReadsLosslessFormatsExactly) {
  const Picture small = read_picture(media_file("small.png"));
  for (const char* name : {"small.bmp", "small.tiff", "small_lossless.webp", "small16.png"}) {
    const Picture other = read_picture(media_file(std::string("formats/") + name));
    EXPECT_EQ(other.width, small.width) << name;
    EXPECT_TRUE(other.rgb == small.rgb) << name;
  }
  EXPECT_TRUE(read_picture(media_file("formats/palette.png")).rgb ==
              read_picture(media_file("formats/palette_expanded.png")).rgb);
}

TEST(Picture, ReadsLossyWebpInItsOwnColours) {
  const Picture small = read_picture(media_file("small.png"));
  const Picture webp = read_picture(media_file("formats/small_lossy.webp"));
  ASSERT_EQ(webp.rgb.size(), small.rgb.size());
  double error = 0;
  double shift = 0;
  for (size_t i = 0; i < small.rgb.size(); ++i) {
    error += std::abs(webp.rgb[i] - small.rgb[i]);
    shift += webp.rgb[i] - small.rgb[i];
  }
  EXPECT_LT(error / static_cast<double>(small.rgb.size()), 6);
  EXPECT_LT(std::abs(shift) / static_cast<double>(small.rgb.size()),
            1);  // a wrong range would shift by about 10
}

TEST(Picture, ExpandsGreyAndSingleBits) {
  for (const char* name : {"grey.png", "formats/grey.jpg", "formats/mono.png"}) {
    const Picture picture = read_picture(media_file(name));
    const auto [low, high] = std::minmax_element(picture.rgb.begin(), picture.rgb.end());
    EXPECT_LT(*low, 60) << name;
    EXPECT_GT(*high, 180) << name;
    for (size_t i = 0; i < picture.rgb.size(); i += 3) {
      ASSERT_EQ(picture.rgb[i], picture.rgb[i + 1]) << name;
      ASSERT_EQ(picture.rgb[i], picture.rgb[i + 2]) << name;
    }
  }
}

Bytes exif(int orientation) {
  return {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, static_cast<uint8_t>(orientation),
          0,   0,   0, 0,  0, 0};
}

Bytes jpeg_turned(const Bytes& jpeg, int orientation) {
  Bytes marker = {0xFF, 0xE1, 0, 0, 'E', 'x', 'i', 'f', 0, 0};
  const Bytes tags = exif(orientation);
  marker.insert(marker.end(), tags.begin(), tags.end());
  marker[3] = static_cast<uint8_t>(marker.size() - 2);
  Bytes file = jpeg;
  file.insert(file.begin() + 2, marker.begin(), marker.end());
  return file;
}

/// The checksum isn't looked at by us; FFmpeg passes over the whole chunk.
Bytes png_turned(const Bytes& png, int orientation) {
  const Bytes tags = exif(orientation);
  Bytes chunk = {0, 0, 0, static_cast<uint8_t>(tags.size()), 'e', 'X', 'I', 'f'};
  chunk.insert(chunk.end(), tags.begin(), tags.end());
  uint32_t crc = 0xFFFFFFFF;
  for (size_t i = 4; i < chunk.size(); ++i) {
    crc ^= chunk[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320 : 0);
  }
  for (int shift = 24; shift >= 0; shift -= 8) chunk.push_back(static_cast<uint8_t>(~crc >> shift));
  Bytes file = png;
  file.insert(file.begin() + 33, chunk.begin(), chunk.end());  // behind IHDR
  return file;
}

/// Where the stored picture's corner (left, top) ends up, for each orientation, by EXIF's own words: "row 0
/// is the visual ..., column 0 is the visual ...".
struct Corner {
  bool right;
  bool bottom;
  bool sides_swap;
};
constexpr std::array<Corner, 9> kCorners = {{{false, false, false},
                                             {false, false, false},
                                             {true, false, false},
                                             {true, true, false},
                                             {false, true, false},
                                             {false, false, true},
                                             {true, false, true},
                                             {true, true, true},
                                             {false, true, true}}};

void expect_turned(const Picture& stored, const Picture& upright, int orientation) {
  const Corner corner = kCorners[orientation];
  ASSERT_EQ(upright.width, corner.sides_swap ? stored.height : stored.width);
  ASSERT_EQ(upright.height, corner.sides_swap ? stored.width : stored.height);
  for (int y = 0; y < stored.height; ++y) {
    for (int x = 0; x < stored.width; ++x) {
      int to_x = corner.sides_swap ? y : x;
      int to_y = corner.sides_swap ? x : y;
      if (corner.right) to_x = upright.width - 1 - to_x;
      if (corner.bottom) to_y = upright.height - 1 - to_y;
      ASSERT_EQ(pixel(stored, x, y), pixel(upright, to_x, to_y)) << "orientation " << orientation;
    }
  }
}

TEST(Picture, ObeysEveryExifOrientation) {
  TemporaryFolder folder;
  const Picture jpeg = read_picture(media_file("wide.jpg"));
  const Picture png = read_picture(media_file("small.png"));
  for (int orientation = 0; orientation <= 8; ++orientation) {
    testing::write_file(folder / "a.jpg", jpeg_turned(file_bytes(media_file("wide.jpg")), orientation));
    expect_turned(jpeg, read_picture(folder / "a.jpg"), orientation);
    testing::write_file(folder / "a.png", png_turned(file_bytes(media_file("small.png")), orientation));
    expect_turned(png, read_picture(folder / "a.png"), orientation);
  }
  testing::write_file(folder / "a.jpg", jpeg_turned(file_bytes(media_file("wide.jpg")), 200));
  EXPECT_TRUE(read_picture(folder / "a.jpg").rgb == jpeg.rgb);
}

TEST(Picture, PadsWhatIsTooShortWithBlack) {
  const Picture wide{400, 100, Bytes(400 * 100 * 3, 200)};
  const Picture padded = resize_and_crop(wide, 64, 100);  // becomes 256 x 64
  EXPECT_EQ(pixel(padded, 0, 17), (std::array<uint8_t, 3>{0, 0, 0}));
  EXPECT_EQ(pixel(padded, 0, 18), (std::array<uint8_t, 3>{200, 200, 200}));
  EXPECT_EQ(pixel(padded, 63, 81), (std::array<uint8_t, 3>{200, 200, 200}));
  EXPECT_EQ(pixel(padded, 63, 82), (std::array<uint8_t, 3>{0, 0, 0}));
}

TEST(Picture, TakesExtremeShapesWithoutHugePicturesInBetween) {
  const Picture line{16384, 1, Bytes(16384 * 3, 77)};
  const Picture cut = resize_and_crop(line, 640, 384);
  EXPECT_EQ(cut.rgb, Bytes(640 * 384 * 3, 77));
  const Picture dot{1, 1, {1, 2, 3}};
  EXPECT_EQ(pixel(resize_and_crop(dot, 64, 64), 63, 63), (std::array<uint8_t, 3>{1, 2, 3}));
}

TEST(Picture, MakesMasksOfWhatIsNotBlack) {
  const Mask mask = read_mask(media_file("formats/mono.png"));
  const Picture picture = read_picture(media_file("formats/mono.png"));
  ASSERT_EQ(mask.inside.size(), size_t{1600});
  ASSERT_EQ(mask.width, 40);
  for (size_t i = 0; i < mask.inside.size(); ++i) ASSERT_EQ(mask.inside[i], picture.rgb[i * 3] > 0 ? 1 : 0);
  EXPECT_GT(std::count(mask.inside.begin(), mask.inside.end(), 1), 100);
  EXPECT_GT(std::count(mask.inside.begin(), mask.inside.end(), 0), 100);
}

TEST(Picture, RefusesWhatIsNoPicture) {
  TemporaryFolder folder;
  const auto cut = [&](const std::string& name, double part) {
    const Bytes whole = file_bytes(media_file(name));
    const auto target = folder / ("cut_" + std::filesystem::path(name).filename().string());
    testing::write_file(target, {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(whole.size() * part)});
    return target;
  };
  testing::write_text(folder / "text.png", "This is not a picture at all, only a few words.\n");
  testing::write_text(folder / "text.txt", "This is not a picture at all, only a few words.\n");
  testing::write_text(folder / "empty.jpg", "");
  const std::vector<std::filesystem::path> bad = {folder / "text.png",
                                                  folder / "text.txt",
                                                  folder / "empty.jpg",
                                                  folder / "missing.png",
                                                  folder.path(),
                                                  cut("tall.png", 0.5),
                                                  cut("wide.jpg", 0.5),
                                                  cut("small.png", 0.99),
                                                  cut("formats/small_lossy.webp", 0.5),
                                                  cut("rotated.jpg", 0.003),
                                                  media_file("stereo44k.wav")};
  for (const auto& path : bad) {
    EXPECT_THAT(message_of<InputError>([&] { read_picture(path); }),
                HasSubstr("the picture '" + path.string() + "'"));
  }
}

TEST(Picture, RefusesAbsurdSizesBeforeDecoding) {
  TemporaryFolder folder;
  Bytes jpeg = file_bytes(media_file("wide.jpg"));
  const std::array<uint8_t, 2> start = {0xFF, 0xC0};
  const auto frame = std::search(jpeg.begin(), jpeg.end(), start.begin(), start.end());
  ASSERT_NE(frame, jpeg.end());
  std::fill(frame + 5, frame + 9, 0x50);
  testing::write_file(folder / "huge.jpg", jpeg);
  EXPECT_THAT(message_of<InputError>([&] { read_picture(folder / "huge.jpg"); }), HasSubstr("16384"));

  // A portable grey map is all header and pixels; these pixels are missing, so only the size can be refused.
  testing::write_text(folder / "huge.pgm", "P5\n20000 3\n255\n" + std::string(60000, 'x'));
  EXPECT_THAT(message_of<InputError>([&] { read_picture(folder / "huge.pgm"); }), HasSubstr("16384"));
}

}  // namespace
}  // namespace latentcast
