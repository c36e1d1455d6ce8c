#include "latentcast/model/text/tokenizer.h"

#include <functional>

#include "test_data.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "latentcast/error.h"
#include "latentcast/model/text/clean_text.h"

namespace latentcast {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<int32_t>;

std::filesystem::path tokenizer_folder() { return test_data() / "tokenizer"; }

// A folder with a tokenizer.json of the test's own.
class OwnTokenizer {
 public:
  explicit OwnTokenizer(const std::string& content)
      : folder_(std::filesystem::temp_directory_path() /
                ("latentcast-tokenizer-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "tokenizer.json") << content;
  }
  ~OwnTokenizer() { std::filesystem::remove_all(folder_); }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
};

json small_spec() {
  return json::parse(R"({
    "added_tokens": [{"id": 1, "content": "</s>", "normalized": false},
                     {"id": 9, "content": "cat", "single_word": true, "normalized": false},
                     {"id": 10, "content": "<m>", "lstrip": true, "rstrip": true, "normalized": false},
                     {"id": 11, "content": "<m><m>", "normalized": false}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Strip", "strip_left": false, "strip_right": true},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "_"}]},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
    "model": {"type": "Unigram", "unk_id": 2, "byte_fallback": false,
        "vocab": [["<pad>", 0], ["</s>", 0], ["<unk>", 0], ["_", -1], ["a", -2], ["b", -2], ["ab", -3], ["_a", -2.5],
                  ["<0x63>", -9]]}
  })");
}

Ids encode_with(const json& spec, std::string_view text, int max_tokens = 512) {
  const OwnTokenizer own(spec.dump());
  return Tokenizer(own.folder()).encode(text, max_tokens);
}

std::string refusal(const std::string& content) {
  const OwnTokenizer own(content);
  try {
    const Tokenizer tokenizer(own.folder());
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json"));
    return error.what();
  }
  return "accepted";
}

std::string refusal(const std::function<void(json&)>& change) {
  json spec = small_spec();
  change(spec);
  return refusal(spec.dump());
}

TEST(Tokenizer, GivesTheIdsOfTheFastTokenizer) {
  const Tokenizer tokenizer(tokenizer_folder());
  const json rows = read_json(tokenizer_folder() / "tokens.json");
  ASSERT_GT(rows.size(), 60u);
  for (const json& row : rows) {
    EXPECT_EQ(tokenizer.encode(row["text"].get<std::string>()), row["ids"].get<Ids>()) << row["text"];
  }
}

TEST(Tokenizer, GivesTheIdsOfThePublicCodeForPrompts) {
  const Tokenizer tokenizer(tokenizer_folder());
  const json rows = read_json(test_data() / "tables.json")["tokens"];
  ASSERT_EQ(rows.size(), 12u);
  for (const json& row : rows) {
    EXPECT_EQ(tokenizer.encode(clean_prompt(row["text"].get<std::string>())), row["ids"].get<Ids>())
        << row["text"];
  }
}

TEST(Tokenizer, CountsAddedTokensInTheVocabulary) {
  EXPECT_EQ(Tokenizer(tokenizer_folder()).vocabulary_size(), 644);
}

TEST(Tokenizer, TruncatesWithTheEndTokenLast) {
  EXPECT_THAT(encode_with(small_spec(), "a a a a", 3), ElementsAre(7, 7, 1));
  EXPECT_THAT(encode_with(small_spec(), "a a a a", 1), ElementsAre(1));
  EXPECT_THAT(encode_with(small_spec(), "", 1), ElementsAre(1));
}

TEST(Tokenizer, TakesTheBestPiecesNotTheLongest) {
  EXPECT_THAT(encode_with(small_spec(), "ab"), ElementsAre(3, 6, 1));  // _ ab -4 beats _a b -4.5
  json spec = small_spec();
  spec["model"]["vocab"][6][1] = -3.6;
  EXPECT_THAT(encode_with(spec, "ab"), ElementsAre(7, 5, 1));
}

TEST(Tokenizer, MatchesAddedTokensFirst) {
  EXPECT_THAT(encode_with(small_spec(), "a </s>"), ElementsAre(7, 1, 1));
  EXPECT_THAT(encode_with(small_spec(), "a  <m>\t\xE3\x80\x80 b"), ElementsAre(7, 10, 3, 5, 1));
  EXPECT_THAT(encode_with(small_spec(), "<m><m>"), ElementsAre(11, 1)) << "the longest counts";
  EXPECT_THAT(encode_with(small_spec(), "a cat, b"), ElementsAre(7, 9, 3, 2, 3, 5, 1));
  EXPECT_THAT(encode_with(small_spec(), "acat"), ElementsAre(7, 2, 4, 2, 1))
      << "inside a word it is no token";
  EXPECT_THAT(encode_with(small_spec(), "cat\xC3\xA9"), ElementsAre(3, 2, 4, 2, 1));
}

TEST(Tokenizer, FallsBackToBytesOnlyIfTold) {
  EXPECT_THAT(encode_with(small_spec(), "cc"), ElementsAre(3, 2, 1)) << "a run is one unknown piece";
  json spec = small_spec();
  spec["model"]["byte_fallback"] = true;
  EXPECT_THAT(encode_with(spec, "cc"), ElementsAre(3, 8, 8, 1));
  EXPECT_THAT(encode_with(spec, "cd"), ElementsAre(3, 2, 1)) << "a byte without a piece";
}

TEST(Tokenizer, KnowsOtherPreTokenizers) {
  json spec = small_spec();
  spec["pre_tokenizer"] = json::parse(R"({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
      {"type": "Metaspace", "replacement": "_", "add_prefix_space": true}]})");
  spec["normalizer"] = nullptr;
  EXPECT_THAT(encode_with(spec, " a \t b "), ElementsAre(7, 3, 5, 1));
  spec["pre_tokenizer"] =
      json::parse(R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"})");
  EXPECT_THAT(encode_with(spec, "a</s>a"), ElementsAre(7, 1, 4, 1));
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const Tokenizer tokenizer(tokenizer_folder());
  for (const char* text : {"\xFF", "ok \xC3", "\xED\xA0\x80", "\xC0\x80", "\xF4\x90\x80\x80"}) {
    EXPECT_THROW(tokenizer.encode(text), InputError);
  }
}

TEST(Tokenizer, NamesAMissingFile) {
  try {
    const Tokenizer tokenizer("/nonexistent/umt5");
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("/nonexistent/umt5/tokenizer.json"));
  }
}

TEST(Tokenizer, RefusesDamagedFiles) {
  EXPECT_THAT(refusal(std::string()), HasSubstr("damaged"));
  EXPECT_THAT(refusal(small_spec().dump().substr(0, 300)), HasSubstr("damaged"));
  EXPECT_THAT(refusal("[]"), HasSubstr("damaged"));
  EXPECT_THAT(refusal([](json& s) { s.erase("model"); }), HasSubstr("damaged"));
  EXPECT_THAT(refusal([](json& s) { s["model"]["vocab"][3] = 5; }), HasSubstr("damaged"));
  EXPECT_THAT(refusal([](json& s) { s["model"]["vocab"] = json::array(); }), HasSubstr("no unknown piece"));
  EXPECT_THAT(refusal([](json& s) { s["model"]["unk_id"] = 99; }), HasSubstr("no unknown piece"));
  EXPECT_THAT(refusal([](json& s) { s["added_tokens"][0]["content"] = ""; }), HasSubstr("added token"));
}

TEST(Tokenizer, RefusesStepsItDoesNotKnow) {
  EXPECT_THAT(refusal([](json& s) { s["model"]["type"] = "BPE"; }), HasSubstr("'BPE' is not supported"));
  EXPECT_THAT(refusal([](json& s) { s["normalizer"] = {{"type", "Lowercase"}}; }), HasSubstr("Lowercase"));
  EXPECT_THAT(refusal([](json& s) { s["pre_tokenizer"] = {{"type", "Digits"}}; }), HasSubstr("Digits"));
  EXPECT_THAT(
      refusal([](json& s) { s["post_processor"]["single"].push_back(s["post_processor"]["single"][1]); }),
      HasSubstr("post_processor"));
}

TEST(Tokenizer, RefusesDamagedTablesOfReplacements) {
  const auto with_map = [](const std::string& map) {
    return refusal([&](json& s) {
      s["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", map}};
    });
  };
  EXPECT_THAT(with_map(""), HasSubstr("damaged"));
  EXPECT_THAT(with_map("AAAA"), HasSubstr("damaged"));
  EXPECT_THAT(with_map("/////////w=="), HasSubstr("damaged"));
  EXPECT_THAT(with_map("not base64!"), HasSubstr("not base64"));
  // One unit whose offset leads far outside: no replacement is found, and nothing is read there.
  json spec = small_spec();
  spec["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "BAAAAAD8//8AAAAA"}};
  EXPECT_THAT(encode_with(spec, "a"), ElementsAre(7, 1));
}

}  // namespace
}  // namespace latentcast
