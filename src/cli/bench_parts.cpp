#include "bench_parts.h"

#include "random_source.h"
#include <ATen/ATen.h>

#include "latentcast/kernels/linear_gelu.h"
#include "latentcast/kernels/modulated_norm.h"
#include "latentcast/kernels/packed_attention.h"
#include "latentcast/kernels/residual.h"
#include "latentcast/kernels/rotated_norm.h"
#include "latentcast/model/dit/rope.h"
#include "latentcast/model/fp8_source.h"
#include "latentcast/pipeline/stage.h"

namespace latentcast {
namespace {

using Json = nlohmann::ordered_json;

/// What one layer with an injector computes with. Every layer uses it in turn: it is larger than any cache of
/// a GPU.
struct Bench {
  Bench(const BenchJob& job, const ModelShape& model, const ComputeDevice& device)
      : config(model.dit), shape{job.height / 8, job.width / 8, 4} {
    RandomSource source(at::TensorOptions().dtype(device.dtype).device(device.device));
    const at::TensorOptions options = at::TensorOptions().dtype(device.dtype).device(device.device);
    Fp8Source in_fp8(source);
    w = take_dit_layer(job.fp8 ? static_cast<TensorSource&>(in_fp8) : source, config,
                       config.inject_layers.front());
    rows = shape.block_tokens();
    x = at::randn({rows, config.dim}, options);
    y = at::randn_like(x);
    c = at::randn_like(x);
    f = at::randn_like(x);
    form = job.fp8 ? RowForm::kFp8 : RowForm::kPlain;
    in = job.fp8 ? quantize(x) : Rows(x);
    wide = at::randn({rows, config.ffn_dim}, options);
    wide_in = job.fp8 ? quantize(wide) : Rows(wide);
    three = at::randn({rows, 3 * config.dim}, options);
    const int64_t d = config.head_dim();
    query = at::randn({1, rows, config.heads, d}, options);
    keys = at::randn({1, 4 * rows + shape.condition_tokens(), config.heads, d}, options);
    values = at::randn_like(keys);
    if (job.caches.packed) pack();
    text = at::randn({1, config.text_len, config.heads, d}, options);
    audio = at::randn({kBlockLatents, config.audio_tokens + 1, config.heads, d}, options);
    modulation = at::randn({6, config.dim}, options.dtype(at::kFloat));
    per_latent = at::randn({kBlockLatents, config.dim}, options.dtype(at::kFloat));
    rope = grid_rope(0, kBlockLatents, shape.rows(), shape.columns(), d, device.device);
  }

  bool fp8() const { return form == RowForm::kFp8; }
  /// On a GPU one product, as a layer does it.
  void query_key_value() const {
    const AttentionWeights& a = w.self_attention;
    if (a.query_key_value.weight.defined()) {
      a.query_key_value(in);
    } else {
      a.q(in), a.k(in), a.v(in);
    }
  }
  void up() const { form == RowForm::kFp8 ? w.ffn_up(in) : linear_gelu(x, w.ffn_up.weight, w.ffn_up.bias); }
  void self_products() const {
    query_key_value();
    w.self_attention.o(in), w.cross_attention.q(in), w.cross_attention.o(in);
    up();
    w.ffn_down(wide_in);
  }
  void self_attention() const {
    pieces.packed.empty() ? attention(query, keys, values) : packed_attention(query[0], pieces);
  }
  /// As the caches do it: the reference, the motion, four blocks.
  void pack() {
    const int64_t reference = rows / kBlockLatents;
    pieces.tokens = {reference, shape.condition_tokens() - reference, rows, rows, rows, rows};
    int64_t begin = 0;
    for (const int64_t tokens : pieces.tokens) {
      pieces.packed.push_back(at::empty({packed_bytes(tokens, config.heads, config.head_dim())},
                                        keys.options().dtype(at::kByte)));
      pack_keys_and_values(keys[0].narrow(0, begin, tokens), values[0].narrow(0, begin, tokens),
                           pieces.packed.back());
      begin += tokens;
    }
  }
  void pack_own() const { pack_keys_and_values(query[0], query[0], pieces.packed.back()); }
  void pack_reference() const {
    pack_keys_and_values(query[0].narrow(0, 0, pieces.tokens.front()), {}, pieces.packed.front());
  }
  void text_attention() const { attention(query, text, text); }
  void audio_attention() const {
    attention(query.view({kBlockLatents, rows / kBlockLatents, config.heads, config.head_dim()}), audio,
              audio);
  }
  void injector_products() const {
    const InjectorWeights& i = *w.injector;
    i.adain(per_latent.to(x.scalar_type()));
    i.attention.q(in), i.attention.o(in);
    i.attention.k(audio.flatten(2)), i.attention.v(audio.flatten(2));
  }

  DitConfig config;
  StageShape shape;
  DitLayerWeights w;
  int64_t rows = 0;
  RowForm form = RowForm::kPlain;
  Rows in, wide_in;
  PackedPieces pieces;  // instead of keys and values, with --attention fp8
  at::Tensor x, y, c, f, wide, three, query, keys, values, text, audio, modulation, per_latent, rope;
};

double median(const std::vector<double>& times) { return times[times.size() / 2]; }

/// Milliseconds of one call, from many in a row.
double time_of(const BenchJob& job, const ComputeDevice& device, const std::function<void()>& call) {
  const int calls = device.is_cuda() ? 20 : 1;
  return median(measure(device, job.repeats,
                        [&] {
                          for (int i = 0; i < calls; ++i) call();
                        })) /
         calls;
}

/// Bytes a second that a copy reads and writes.
double copy_speed(const BenchJob& job, const ComputeDevice& device) {
  const int64_t bytes = device.is_cuda() ? 1 << 30 : 1 << 26;
  const at::Tensor from = at::zeros({bytes}, at::TensorOptions().dtype(at::kByte).device(device.device));
  const at::Tensor to = at::empty_like(from);
  return 2 * static_cast<double>(bytes) / (time_of(job, device, [&] { to.copy_(from); }) / 1000);
}

/// Collects the table of bench_kernels().
class Parts {
 public:
  Parts(const BenchJob& job, const ComputeDevice& device)
      : job_(job), device_(device), speed_(copy_speed(job, device)) {}

  /// A kernel of ours that reads and writes so many bytes at least.
  void kernel(const std::string& name, int64_t calls, int64_t bytes, const std::function<void()>& call) {
    const double limit = static_cast<double>(bytes) / speed_ * 1000;
    const double time = add(name, calls, call);
    parts_.back()["memory_limit_ms"] = limit;
    parts_.back()["of_limit"] = limit / time;
  }

  /// A product or an attention of so many multiplications.
  void product(const std::string& name, int64_t calls, double multiplications,
               const std::function<void()>& call) {
    const double time = add(name, calls, call);
    parts_.back()["tflops"] = 2 * multiplications / time / 1e9;
  }

  Json report() const {
    return {{"bench", "kernels"}, {"copy_gb_per_s", speed_ / 1e9}, {"sum_ms", sum_}, {"parts", parts_}};
  }

 private:
  double add(const std::string& name, int64_t calls, const std::function<void()>& call) {
    const double time = time_of(job_, device_, call);
    sum_ += static_cast<double>(calls) * time;
    parts_.push_back({{"name", name},
                      {"ms", time},
                      {"calls_a_step", calls},
                      {"ms_a_step", static_cast<double>(calls) * time}});
    return time;
  }

  const BenchJob& job_;
  const ComputeDevice& device_;
  double speed_, sum_ = 0;
  Json parts_ = Json::array();
};

void add_kernels(Parts& parts, const Bench& b) {
  const auto layers = b.config.layers, injectors = std::ssize(b.config.inject_layers);
  const auto row = static_cast<int64_t>(b.x.nbytes());  // one [rows, dim]
  const int64_t normed = b.fp8() ? row / 2 : row;       // what a norm writes
  const at::Tensor query = at::empty_like(b.query[0]), key = at::empty_like(query),
                   value = at::empty_like(query);
  const at::Tensor e = b.modulation;
  const double eps = 1e-6;
  const AttentionWeights& a = b.w.self_attention;
  parts.kernel("modulated_norm (the first layer's)", 1, row + normed,
               [&] { modulated_norm(b.x, e.narrow(0, 0, 1), e.narrow(0, 1, 1), eps, 1, b.form); });
  parts.kernel("split_query_key_value", layers, 6 * row,
               [&] { split_query_key_value(b.three, a.norm_q, a.norm_k, b.rope, eps, query, key, value); });
  const int64_t reference = b.rows / kBlockLatents;
  parts.kernel("rotate_rows (reference)", layers, 2 * row / kBlockLatents, [&] {
    rotate_rows(b.query[0].narrow(0, 0, reference), b.rope.narrow(0, 0, reference),
                key.narrow(0, 0, reference));
  });
  parts.kernel("gated_residual_norm", layers, 2 * row + normed,
               [&] { gated_residual_norm(b.x, b.y, e[0], b.w.norm3_weight, b.w.norm3_bias, eps, b.form); });
  parts.kernel("rms_norm", layers + injectors, 2 * row, [&] { rms_norm(b.x, a.norm_q, eps); });
  parts.kernel("residual_modulated_norm", layers, 3 * row + normed,
               [&] { residual_modulated_norm(b.x, b.y, e[0], b.c, e[1], e[2], eps, b.form); });
  const at::Tensor next_shift = e.narrow(0, 0, 1), next_scale = e.narrow(0, 1, 1);
  // The last layer has no next one's norm; the sound's may be all it has.
  const int64_t silent_end = b.config.inject_layers.back() == layers - 1 ? 0 : 1;
  parts.kernel("gated_residuals_norm", layers - injectors - silent_end, 5 * row + normed, [&] {
    gated_residuals_norm(b.x, b.y, e[0], b.c, b.f, e[1], next_shift, next_scale, eps, b.form);
  });
  parts.kernel("gated_residuals_norm (audio)", injectors, 5 * row + normed, [&] {
    gated_residuals_norm(b.x, b.y, e[0], b.c, b.f, e[1], b.per_latent, b.per_latent, 1e-5, b.form);
  });
  parts.kernel("gated_residuals (the last layer's)", silent_end, 5 * row,
               [&] { gated_residuals(b.x, b.y, e[0], b.c, b.f, e[1]); });
  parts.kernel("residual_norm (audio)", injectors - 1 + silent_end, 3 * row + normed,
               [&] { residual_norm(b.x, b.y, next_shift, next_scale, eps, b.form); });
  if (!b.pieces.packed.empty()) {
    // Keys and values are read once at least, and written in 8 bits.
    parts.kernel("pack_keys_and_values", layers, 2 * row + row, [&] { b.pack_own(); });
    parts.kernel("pack_keys_and_values (reference's keys)", layers, (row + row / 2) / kBlockLatents,
                 [&] { b.pack_reference(); });
  }
  if (b.fp8()) {
    parts.kernel("quantize", 2 * layers + injectors, row + normed, [&] { quantize(b.x); });
    const auto wide = static_cast<int64_t>(b.wide.nbytes());
    parts.kernel("gelu_quantize", layers, wide + wide / 2, [&] { gelu_quantize(b.wide); });
  }
}

void add_products(Parts& parts, const Bench& b) {
  const auto layers = b.config.layers, injectors = std::ssize(b.config.inject_layers);
  const auto n = static_cast<double>(b.rows), d = static_cast<double>(b.config.dim),
             ffn = static_cast<double>(b.config.ffn_dim), keys = static_cast<double>(b.keys.size(1));
  parts.product("q, k and v", layers, 3 * n * d * d, [&] { b.query_key_value(); });
  parts.product("o; q and o of the prompt's attention", 3 * layers, n * d * d,
                [&] { b.w.self_attention.o(b.in); });
  parts.product(b.fp8() ? "feed-forward up" : "feed-forward up, GELU", layers, n * d * ffn, [&] { b.up(); });
  if (!b.fp8()) parts.product("feed-forward up without GELU", 0, n * d * ffn, [&] { b.w.ffn_up(b.x); });
  parts.product("feed-forward down", layers, n * d * ffn, [&] { b.w.ffn_down(b.wide_in); });
  parts.product("self-attention", layers, 2 * n * d * keys, [&] { b.self_attention(); });
  parts.product("attention to the prompt", layers, 2 * n * d * static_cast<double>(b.config.text_len),
                [&] { b.text_attention(); });
  parts.product("attention to the sound", injectors,
                2 * n * d * static_cast<double>(b.config.audio_tokens + 1), [&] { b.audio_attention(); });
  parts.product("injector's products", injectors, 2 * n * d * d, [&] { b.injector_products(); });
}

}  // namespace

void add_limit(Json& report, const BenchJob& job, const ModelShape& model, const ComputeDevice& device) {
  const Bench b(job, model, device);
  const auto blocks = [&] {
    for (int64_t i = 0; i < model.dit.layers; ++i) b.self_products(), b.self_attention();
  };
  const auto all = [&] {
    blocks();
    for (int64_t i = 0; i < model.dit.layers; ++i) b.text_attention();
    for (size_t i = 0; i < model.dit.inject_layers.size(); ++i) b.injector_products(), b.audio_attention();
  };
  const double step = report["step"]["median_ms"].get<double>();
  report["limit_ms"] = median(measure(device, job.repeats, blocks));
  report["limit_all_ms"] = median(measure(device, job.repeats, all));
  report["of_limit"] = report["limit_ms"].get<double>() / step;
  report["of_limit_all"] = report["limit_all_ms"].get<double>() / step;
}

Json bench_kernels(const BenchJob& job, const ModelShape& model, const ComputeDevice& device) {
  const Bench b(job, model, device);
  Parts parts(job, device);
  add_products(parts, b);
  add_kernels(parts, b);
  return parts.report();
}

}  // namespace latentcast
