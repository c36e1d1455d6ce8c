#include "latentcast/progress/segment_store.h"

#include "progress_test_support.h"

#include "latentcast/progress/checksum.h"

namespace latentcast::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
namespace fs = std::filesystem;

/// A run's segments; `contents` stand for the video.
class Segments : public ::testing::Test {
 protected:
  Segments() : paths(folder.path() / "run") {}

  SegmentStore open(const std::vector<SegmentEntry>& known = {}, bool replace = false, int64_t clips = 3) {
    return SegmentStore(paths, {.clips = clips, .frames_a_clip = 48, .replace = replace}, known,
                        [this](const std::string& note) { notes.push_back(note); });
  }
  static void render(SegmentStore& store, int64_t clip, const std::string& contents, int64_t frames = 48) {
    write_bytes(store.place_for(clip), contents);
    store.commit(clip, frames);
  }
  std::string file(const std::string& name) const { return read_bytes(paths.segments() / name); }
  std::string playlist() const { return read_bytes(paths.live_playlist()); }

  TemporaryFolder folder;
  RunPaths paths;
  std::vector<std::string> notes;
};

TEST_F(Segments, AreListedWithTheirChecksums) {
  SegmentStore store = open();
  render(store, 0, "zero");
  render(store, 1, "one");
  const auto manifest = read_segment_manifest(paths);
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->clips, 3);
  EXPECT_THAT(manifest->segments, ElementsAre(SegmentEntry{0, "000000.ts", 48, 4, sha256("zero")},
                                              SegmentEntry{1, "000001.ts", 48, 3, sha256("one")}));
  EXPECT_EQ(segment_damage(paths, manifest->segments[0]), "");
  EXPECT_THAT(failure([&] { store.files(); }), HasSubstr("only 2 of 3")) << "not finished";
  EXPECT_THAT(failure([&] { store.commit(3, 48); }), HasSubstr("74: ")) << "there is no such file";
}

TEST_F(Segments, MakeALivePlaylistThatEndsWhenTheVideoIsThere) {
  SegmentStore store = open();
  const std::string head =
      "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n"
      "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-INDEPENDENT-SEGMENTS\n";
  EXPECT_EQ(playlist(), head);
  render(store, 0, "zero");
  EXPECT_EQ(playlist(), head + "#EXTINF:1.920000,\nsegments/000000.ts\n");
  render(store, 1, "one");
  render(store, 2, "two", 12);
  const std::string whole = playlist();
  EXPECT_THAT(whole, HasSubstr("#EXTINF:0.480000,\nsegments/000002.ts\n"));
  write_bytes(paths.video, "video");
  store.finish(paths.video);
  EXPECT_EQ(playlist(), whole + "#EXT-X-ENDLIST\n");
  EXPECT_THAT(store.files(), ElementsAre(paths.segments() / "000000.ts", paths.segments() / "000001.ts",
                                         paths.segments() / "000002.ts"));
  EXPECT_EQ(read_segment_manifest(paths)->video->frames, 108);

  open();
  EXPECT_EQ(playlist(), whole + "#EXT-X-ENDLIST\n") << "looking at a finished run changes nothing";
  open({}, false, 5);
  EXPECT_EQ(playlist(), whole) << "an extended run goes on";
}

TEST_F(Segments, StayWhenTheyComeOutTheSameAgain) {
  {
    SegmentStore store = open();
    for (int64_t clip = 0; clip < 3; ++clip) render(store, clip, "clip " + std::to_string(clip));
  }
  const auto written = fs::last_write_time(paths.segments() / "000001.ts");
  const std::string before = playlist();
  SegmentStore store = open(read_segment_manifest(paths)->segments);
  EXPECT_EQ(store.place_for(1), paths.segments() / "000001.again.ts");
  render(store, 1, "clip 1");
  EXPECT_EQ(fs::last_write_time(paths.segments() / "000001.ts"), written);
  EXPECT_FALSE(fs::exists(paths.segments() / "000001.again.ts"));
  EXPECT_EQ(playlist(), before) << "never shrinks";
  EXPECT_THAT(notes, IsEmpty());
}

TEST_F(Segments, ThatDifferAreRefused) {
  {
    SegmentStore store = open();
    render(store, 0, "zero");
  }
  SegmentStore store = open();
  EXPECT_THAT(failure([&] { render(store, 0, "other"); }),
              AllOf(StartsWith("70: "), HasSubstr("000000.again.ts"), HasSubstr("differs")));
  EXPECT_EQ(file("000000.ts"), "zero");
  EXPECT_EQ(read_segment_manifest(paths)->segments[0].sha256, sha256("zero"));
}

TEST_F(Segments, ThatDifferAreReplacedWhereThatIsToBeExpected) {
  {
    SegmentStore store = open();
    render(store, 0, "zero");
    render(store, 1, "one");
  }
  SegmentStore store = open({}, /*replace=*/true);
  render(store, 0, "other");
  EXPECT_EQ(file("000000.ts"), "other");
  EXPECT_EQ(read_segment_manifest(paths)->segments[0].sha256, sha256("other"));
  EXPECT_EQ(read_segment_manifest(paths)->segments.size(), 2u);
  EXPECT_THAT(notes, ElementsAre(HasSubstr("clip 0")));
}

TEST_F(Segments, ThatWereDamagedAreRepairedByRenderingAgain) {
  {
    SegmentStore store = open();
    render(store, 0, "zero");
  }
  write_bytes(paths.segments() / "000000.ts", "zerp");
  SegmentStore store = open();
  render(store, 0, "zero");
  EXPECT_EQ(file("000000.ts"), "zero");
  EXPECT_THAT(notes, ElementsAre(AllOf(HasSubstr("000000.ts"), HasSubstr("has been changed"))));
}

TEST_F(Segments, ThatWereNotListedCountForNothing) {
  { open(); }
  write_bytes(paths.segments() / "000000.ts", "closed, then the run was killed");
  write_bytes(paths.segments() / "000000.again.ts", "was to be compared");
  write_bytes(paths.segments() / "000001.again.ts.part", "unfinished");
  SegmentStore store = open();
  EXPECT_FALSE(fs::exists(paths.segments() / "000000.again.ts"));
  EXPECT_FALSE(fs::exists(paths.segments() / "000001.again.ts.part"));
  EXPECT_EQ(store.place_for(0), paths.segments() / "000000.ts");
  render(store, 0, "zero");
  EXPECT_EQ(file("000000.ts"), "zero");
}

TEST_F(Segments, AreReadOnceMoreBeforeTheyAreJoined) {
  SegmentStore store = open();
  for (int64_t clip = 0; clip < 3; ++clip) render(store, clip, "clip " + std::to_string(clip));
  const auto damaged = [&] { return failure([&] { store.files(); }); };
  EXPECT_EQ(damaged(), "nothing");
  write_bytes(paths.segments() / "000001.ts", "clip X");
  EXPECT_THAT(damaged(), AllOf(StartsWith("64: "), HasSubstr("000001.ts has been changed")));
  write_bytes(paths.segments() / "000001.ts", "clip");
  EXPECT_THAT(damaged(), HasSubstr("has 4 bytes instead of 6"));
  fs::remove(paths.segments() / "000001.ts");
  EXPECT_THAT(damaged(), HasSubstr("000001.ts is missing"));
}

TEST_F(Segments, AnyChangedByteOfTheirManifestIsFound) {
  std::vector<SegmentEntry> entries;
  {
    SegmentStore store = open();
    render(store, 0, "zero");
    render(store, 1, "one");
    entries = store.entries(2);
  }
  const std::string whole = read_bytes(paths.segment_manifest());
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const unsigned char mask : {0x01, 0x20, 0xFF}) {
      flip(paths.segment_manifest(), at, mask);
      EXPECT_THAT(failure([&] { read_segment_manifest(paths); }), HasSubstr("manifest.json is damaged"))
          << "byte " << at;
      write_bytes(paths.segment_manifest(), whole);
    }
  }
  for (const size_t length : {size_t{0}, size_t{1}, whole.size() / 2, whole.size() - 1}) {
    write_bytes(paths.segment_manifest(), whole.substr(0, length));
    EXPECT_THAT(failure([&] { read_segment_manifest(paths); }), HasSubstr("is damaged")) << length;
  }
  // What the checkpoint names is known still; the rest is rendered again.
  entries.pop_back();
  SegmentStore store = open(entries);
  EXPECT_EQ(store.manifest().segments, entries);
  EXPECT_THAT(notes, ElementsAre(HasSubstr("is damaged")));
  EXPECT_EQ(read_segment_manifest(paths)->segments, entries);
}

}  // namespace
}  // namespace latentcast::test
