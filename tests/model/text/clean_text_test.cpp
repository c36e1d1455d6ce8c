#include "latentcast/model/text/clean_text.h"

#include "test_data.h"
#include <gtest/gtest.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

// The rows were made with ftfy 6.3.1 (repair of mojibake off) and Python's html.unescape.
TEST(CleanPrompt, AgreesWithFtfy) {
  const nlohmann::json rows = read_json(test_data() / "text" / "clean.json");
  ASSERT_GT(rows.size(), 80u);
  for (const auto& row : rows) {
    EXPECT_EQ(clean_prompt(row["text"].get<std::string>()), row["clean"].get<std::string>()) << row["text"];
  }
}

TEST(CleanPrompt, LeavesMojibakeAlone) { EXPECT_EQ(clean_prompt("s\u00C3\u00B3"), "s\u00C3\u00B3"); }

TEST(CleanPrompt, IsStable) {
  for (const char* text : {"A & B", "it's \"so\"", "caf\u00E9"}) EXPECT_EQ(clean_prompt(text), text);
}

TEST(CleanPrompt, RefusesTextThatIsNotUtf8) {
  EXPECT_THROW(clean_prompt("caf\xE9"), InputError);
  EXPECT_THROW(clean_prompt("\xED\xA0\xBD\xED\xB8\x80"), InputError) << "surrogates are not UTF-8";
}

}  // namespace
}  // namespace latentcast
