#include "latentcast/model/text/tokenizer.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

#include "added_tokens.h"
#include "text_steps.h"
#include "unigram.h"
#include "utf8.h"
#include <nlohmann/json.hpp>

#include "latentcast/error.h"

namespace latentcast {

using nlohmann::json;

struct Tokenizer::Model {
  std::vector<AddedToken> raw_tokens;         // looked for in the text as it is
  std::vector<AddedToken> normalized_tokens;  // looked for after normalizing
  TextSteps steps;
  Unigram unigram;
  int32_t end = 0;  // </s>
};

namespace {

Unigram make_unigram(const json& model) {
  const std::string type = model.at("type").get<std::string>();
  if (type != "Unigram") throw InputError("its model '" + type + "' is not supported, only Unigram is");
  std::vector<std::pair<std::string, double>> pieces;
  for (const json& piece : model.at("vocab")) {
    pieces.emplace_back(piece.at(0).get<std::string>(), piece.at(1).get<double>());
  }
  return Unigram(std::move(pieces), {model.at("unk_id").get<int32_t>(), model.value("byte_fallback", false)});
}

// The id that the template puts after the text; nothing else is expected of it.
int32_t end_token(const json& post_processor) {
  const json& single = post_processor.at("single");
  if (single.size() != 2 || !single.at(0).contains("Sequence") || !single.at(1).contains("SpecialToken")) {
    throw InputError(
        "its post_processor does more than put one token after the text, which is not supported");
  }
  const std::string name = single.at(1).at("SpecialToken").at("id").get<std::string>();
  return post_processor.at("special_tokens").at(name).at("ids").at(0).get<int32_t>();
}

std::pair<AddedToken, bool> added_token(const json& spec) {
  AddedToken token{spec.at("content").get<std::string>(), spec.at("id").get<int32_t>(),
                   spec.value("single_word", false), spec.value("lstrip", false),
                   spec.value("rstrip", false)};
  if (token.content.empty() || token.id < 0)
    throw InputError("it has an added token without a text or an id");
  return {std::move(token), spec.value("normalized", false)};
}

template <typename Model>
std::unique_ptr<const Model> make_model(const json& file) {
  auto model = std::make_unique<Model>(Model{{},
                                             {},
                                             TextSteps(file.at("normalizer"), file.at("pre_tokenizer")),
                                             make_unigram(file.at("model")),
                                             end_token(file.at("post_processor"))});
  for (const json& spec : file.at("added_tokens")) {
    auto [token, normalized] = added_token(spec);
    if (normalized) token.content = model->steps.normalize(token.content);
    (normalized ? model->normalized_tokens : model->raw_tokens).push_back(std::move(token));
  }
  return model;
}

}  // namespace

Tokenizer::Tokenizer(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer.json";
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    throw InputError("Can't read the tokenizer " + path.string() +
                     ". It belongs to the checkpoint (google/umt5-xxl/tokenizer.json); download it again.");
  }
  try {
    model_ = make_model<Model>(json::parse(in));
  } catch (const json::exception& error) {
    throw InputError("The tokenizer " + path.string() + " is damaged (" + error.what() +
                     "). Download it again.");
  } catch (const InputError& error) {
    throw InputError("The tokenizer " + path.string() + " can't be used: " + error.what() +
                     ". Use the one of the public checkpoint.");
  }
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, int max_tokens) const {
  if (max_tokens < 1) throw InternalError("Tokenizer::encode: max_tokens is less than 1");
  decode_utf8(text);  // everything below relies on valid text
  std::vector<int32_t> ids;
  for (const TextPart& raw : split_at_added_tokens(text, model_->raw_tokens)) {
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      continue;
    }
    const std::string normalized = model_->steps.normalize(raw.text);
    bool at_start = raw.text.data() == text.data();
    for (const TextPart& part : split_at_added_tokens(normalized, model_->normalized_tokens)) {
      if (part.id >= 0) {
        ids.push_back(part.id);
      } else {
        for (const std::string& word : model_->steps.words(std::string(part.text), at_start)) {
          model_->unigram.encode(word, ids);
        }
      }
      at_start = false;
    }
  }
  ids.resize(std::min(ids.size(), static_cast<size_t>(max_tokens) - 1));
  ids.push_back(model_->end);
  return ids;
}

int32_t Tokenizer::vocabulary_size() const {
  int32_t size = model_->unigram.size();
  for (const auto* tokens : {&model_->raw_tokens, &model_->normalized_tokens}) {
    for (const AddedToken& token : *tokens) size = std::max(size, token.id + 1);
  }
  return size;
}

}  // namespace latentcast
