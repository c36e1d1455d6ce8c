// Runs each CUDA kernel of ours once or more, on small random inputs and without LibTorch: a program for
// compute-sanitizer, whose racecheck and initcheck can't follow the libraries' own kernels.
//
//   compute-sanitizer --tool racecheck race_check [KERNEL]
//
// Ends with 1 if a kernel reports an error or leaves a number that is none; results are compared elsewhere
// (kernel_check, decoder_check).
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "causal_conv.h"
#include "dequantize.h"
#include "packed_attention.h"
#include "pictures.h"
#include "row_kernels.h"
#include <cuda_runtime_api.h>

namespace latentcast::cuda {
namespace {

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

/// Memory of the device, filled once; given back with the object.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) { check(cudaMalloc(&data_, bytes), "cudaMalloc"); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { cudaFree(data_); }

  void* get() const { return data_; }
  size_t bytes() const { return bytes_; }
  void write(const void* from) { check(cudaMemcpy(data_, from, bytes_, cudaMemcpyHostToDevice), "copy"); }
  std::vector<unsigned char> read() const {
    std::vector<unsigned char> bytes(bytes_);
    check(cudaMemcpy(bytes.data(), data_, bytes_, cudaMemcpyDeviceToHost), "copy back");
    return bytes;
  }

 private:
  void* data_ = nullptr;
  size_t bytes_;
};

uint16_t to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float from_bf16(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// Inputs and outputs of one kernel after the other.
class Bench {
 public:
  const void* numbers(int64_t count, bool bf16) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& x : values) x = random_(engine_);
    if (!bf16) return keep(values.data(), values.size() * sizeof(float));
    std::vector<uint16_t> narrow;
    for (const float x : values) narrow.push_back(to_bf16(x));
    return keep(narrow.data(), narrow.size() * sizeof(uint16_t));
  }
  const float* floats(int64_t count) { return static_cast<const float*>(numbers(count, false)); }
  const void* bytes(int64_t count) {
    std::vector<unsigned char> values(static_cast<size_t>(count));
    for (unsigned char& x : values) x = static_cast<unsigned char>(engine_() & 0x3f);  // no NaN in e4m3
    return keep(values.data(), values.size());
  }
  void* out(int64_t bytes) { return outputs_.emplace_back(make(bytes), Kind::kBytes).buffer->get(); }
  void* out_numbers(int64_t count, bool bf16) {
    return outputs_.emplace_back(make(count * (bf16 ? 2 : 4)), bf16 ? Kind::kBf16 : Kind::kFloat)
        .buffer->get();
  }
  Fp8Out out_fp8(int64_t rows, int64_t dim) {
    void* values = out(rows * dim);
    return {values, static_cast<float*>(out_numbers(rows, false))};
  }

  /// Waits for the kernel, and looks at what it left; forgets all buffers.
  void finish(const std::string& name, cudaError_t launched) {
    check(launched, name.c_str());
    check(cudaDeviceSynchronize(), name.c_str());
    for (const Output& output : outputs_) {
      if (!all_finite(output)) throw std::runtime_error(name + ": a result is no number");
    }
    outputs_.clear();
    inputs_.clear();
    std::printf("%s\n", name.c_str());
  }

 private:
  enum class Kind { kBytes, kBf16, kFloat };
  struct Output {
    Output(std::unique_ptr<Buffer> made, Kind what) : buffer(std::move(made)), kind(what) {}
    std::unique_ptr<Buffer> buffer;
    Kind kind;
  };

  static std::unique_ptr<Buffer> make(int64_t bytes) {
    return std::make_unique<Buffer>(static_cast<size_t>(bytes));
  }
  const void* keep(const void* from, size_t bytes) {
    inputs_.push_back(std::make_unique<Buffer>(bytes));
    inputs_.back()->write(from);
    return inputs_.back()->get();
  }
  static bool all_finite(const Output& output) {
    const std::vector<unsigned char> bytes = output.buffer->read();
    const size_t size = output.kind == Kind::kBf16 ? 2 : 4;
    for (size_t i = 0; output.kind != Kind::kBytes && i + size <= bytes.size(); i += size) {
      float value;
      if (output.kind == Kind::kBf16) {
        uint16_t narrow;
        std::memcpy(&narrow, &bytes[i], sizeof narrow);
        value = from_bf16(narrow);
      } else {
        std::memcpy(&value, &bytes[i], sizeof value);
      }
      if (!std::isfinite(value)) return false;
    }
    return true;
  }

  std::vector<std::unique_ptr<Buffer>> inputs_;
  std::vector<Output> outputs_;
  std::mt19937 engine_{17};
  std::normal_distribution<float> random_;
};

constexpr float kEps = 1e-6f;

void run_norms(Bench& b, bool bf16, int64_t rows, int64_t dim) {
  const std::string form = (bf16 ? " bf16 " : " float32 ") + std::to_string(rows) + "x" + std::to_string(dim);
  for (const bool fp8 : {false, true}) {
    ModulatedNorm norm{};
    norm.bf16 = bf16, norm.rows = norm.out_rows = rows, norm.groups = 3, norm.dim = dim, norm.eps = kEps;
    norm.x = {b.numbers(rows * dim, bf16), dim};
    norm.shift = b.floats(3 * dim), norm.scale = b.floats(3 * dim), norm.modulation_stride = dim;
    if (fp8)
      norm.fp8 = b.out_fp8(rows, dim);
    else
      norm.out = b.out_numbers(rows * dim, bf16);
    b.finish("modulated_norm" + form + (fp8 ? " to fp8" : ""), modulated_norm(norm, nullptr));
  }
  for (const int parts : {1, 2, 3}) {
    RotatedNorm norm{};
    norm.bf16 = bf16, norm.rows = rows, norm.dim = dim, norm.head_dim = 64, norm.parts = parts;
    norm.rope = b.floats(rows * 64), norm.eps = kEps;
    for (int i = 0; i < parts; ++i) {
      norm.x[i] = {b.numbers(rows * dim, bf16), dim};
      norm.weight[i] = i < 2 ? b.numbers(dim, bf16) : nullptr;
      norm.out[i] = b.out_numbers(rows * dim, bf16);
      norm.out_stride[i] = dim;
    }
    b.finish("rotated_norm" + form + " parts " + std::to_string(parts), rotated_norm(norm, nullptr));
  }
}

void run_residuals(Bench& b, bool bf16, int64_t rows, int64_t dim) {
  const std::string form = (bf16 ? " bf16 " : " float32 ") + std::to_string(rows) + "x" + std::to_string(dim);
  for (const auto kind :
       {Residual::kAffineNorm, Residual::kModulatedNorm, Residual::kSum, Residual::kSumNorm}) {
    for (const bool fp8 : {false, true}) {
      if (fp8 && kind == Residual::kSum) continue;
      Residual r{};
      r.kind = kind, r.bf16 = bf16, r.rows = rows, r.dim = dim, r.eps = kEps;
      r.x = {b.numbers(rows * dim, bf16), dim}, r.y = {b.numbers(rows * dim, bf16), dim};
      r.gate = b.floats(dim);
      if (kind != Residual::kAffineNorm) r.c = {b.numbers(rows * dim, bf16), dim};
      if (kind == Residual::kSum || kind == Residual::kSumNorm) {
        r.f = {b.numbers(rows * dim, bf16), dim}, r.last_gate = b.floats(dim);
      }
      if (kind == Residual::kAffineNorm) {
        r.weight = b.numbers(dim, bf16), r.bias = b.numbers(dim, bf16);
      } else {
        r.shift = b.floats(dim), r.scale = b.floats(dim), r.groups = 1, r.modulation_stride = dim;
      }
      if (kind == Residual::kSumNorm) r.sum = b.out_numbers(rows * dim, bf16);
      if (fp8)
        r.fp8 = b.out_fp8(rows, dim);
      else
        r.out = b.out_numbers(rows * dim, bf16);
      b.finish("residual " + std::to_string(kind) + form + (fp8 ? " to fp8" : ""), residual(r, nullptr));
    }
  }
}

void run_quantise(Bench& b, bool bf16, int64_t rows, int64_t dim) {
  const std::string form = (bf16 ? " bf16 " : " float32 ") + std::to_string(rows) + "x" + std::to_string(dim);
  for (const bool gelu : {false, true}) {
    const Rows x{b.numbers(rows * dim, bf16), dim};
    b.finish("quantize" + form + (gelu ? " gelu" : ""),
             quantize({bf16, gelu, rows, dim, x, b.out_fp8(rows, dim)}, nullptr));
  }
  const void* values = b.bytes(rows * dim);
  const float* scales = b.floats(rows);
  b.finish("dequantize" + form,
           dequantize({bf16, rows, dim, values, scales, b.out_numbers(rows * dim, bf16)}, nullptr));
}

void run_pictures(Bench& b) {
  for (const bool bf16 : {false, true}) {
    for (const int64_t channels : {int64_t{96}, int64_t{384}}) {
      constexpr int64_t kPixels = 150;
      const void *x = b.numbers(kPixels * channels, bf16), *gain = b.numbers(channels, bf16);
      b.finish("channel_norm",
               channel_norm({bf16, true, kPixels, channels, x, gain, b.out_numbers(kPixels * channels, bf16)},
                            nullptr));
    }
  }
  const float* frames = b.floats(3 * 2 * 16 * 24);
  b.finish("yuv420p", yuv420p({frames,
                               {2 * 16 * 24, 16 * 24, 24, 1},
                               2,
                               16,
                               24,
                               static_cast<uint8_t*>(b.out(2 * 16 * 24 * 3 / 2))},
                              nullptr));
}

void run_convolution(Bench& b, ConvKind kind, int64_t in, int64_t out, bool residual, bool norm) {
  constexpr int64_t kFrames = 2, kHeight = 6, kWidth = 20;
  const bool looks_back = kind == ConvKind::kSpaceTime || kind == ConvKind::kTimeDoubling;
  const int64_t columns = conv_columns(kind, in, out);
  const int64_t taps = kind == ConvKind::kSpaceTime      ? 27
                       : kind == ConvKind::kTimeDoubling ? 3
                       : kind == ConvKind::kPoint        ? 1
                                                         : 16;
  CausalConv conv{};
  conv.kind = kind, conv.in = in, conv.out = out, conv.frames = kFrames;
  conv.height = kHeight, conv.width = kWidth;
  const int64_t pixels = kHeight * kWidth;
  const int64_t results = kFrames * pixels * out * (kind == ConvKind::kPictureDoubling ? 4 : 1);
  if (looks_back) conv.past = b.numbers(2 * pixels * in, true);
  conv.x = b.numbers(kFrames * pixels * in, true);
  const int64_t packed = (out + columns - 1) / columns * columns;
  conv.weight = b.numbers(taps * in * packed, true);
  conv.bias = b.floats(out);
  if (residual) conv.residual = b.numbers(results, true);
  if (norm) conv.gain = b.floats(out), conv.active = b.out_numbers(results, true);
  conv.sum = b.out_numbers(results, true);
  b.finish("causal_conv " + std::to_string(static_cast<int>(kind)) + " " + std::to_string(in) + " to " +
               std::to_string(out) + (residual ? " with a residual" : "") + (norm ? " and norm" : ""),
           causal_conv(conv, nullptr));
}

void run_convolutions(Bench& b) {
  run_convolution(b, ConvKind::kSpaceTime, 96, 96, true, true);
  run_convolution(b, ConvKind::kSpaceTime, 192, 192, true, true);
  run_convolution(b, ConvKind::kSpaceTime, 384, 384, true, false);
  run_convolution(b, ConvKind::kSpaceTime, 96, 3, false, false);
  run_convolution(b, ConvKind::kTimeDoubling, 384, 768, false, false);
  run_convolution(b, ConvKind::kPictureDoubling, 384, 192, false, true);
  run_convolution(b, ConvKind::kPictureDoubling, 192, 96, false, true);
  run_convolution(b, ConvKind::kPoint, 192, 384, false, false);
}

/// Two pieces, one of one tile and one of several with an end that is filled up; more queries than a block of
/// threads has.
void run_attention(Bench& b) {
  constexpr int64_t kHeads = 2, kQueries = 150, kTokens[] = {33, 500};
  const int64_t row = kHeads * kHeadDim;
  PackedAttention args{};
  args.queries = kQueries, args.heads = kHeads;
  args.query = b.numbers(kQueries * row, true);
  args.out = b.out_numbers(kQueries * row, true);
  for (const int64_t tokens : kTokens) {
    auto* packed = static_cast<uint8_t*>(b.out(kPacked.bytes(tokens, kHeads)));
    auto* sums = static_cast<float*>(b.out(pack_sums(tokens, kHeads) * static_cast<int64_t>(sizeof(float))));
    const void *keys = b.numbers(tokens * row, true), *values = b.numbers(tokens * row, true);
    check(pack({tokens, kHeads, keys, values, row, row, packed, sums}, nullptr), "pack");
    check(pack({tokens, kHeads, keys, nullptr, row, row, packed, sums}, nullptr), "pack, keys alone");
    args.packed[args.pieces] = packed;
    args.tokens[args.pieces++] = tokens;
  }
  b.finish("packed_attention", packed_attention(args, nullptr));
}

struct Part {
  const char* name;
  std::function<void(Bench&)> run;
};

std::vector<Part> parts() {
  const auto rows = [](const auto& run) {
    return [run](Bench& b) {
      for (const bool bf16 : {true, false}) {
        for (const int64_t dim : {int64_t{192}, int64_t{5120}}) run(b, bf16, 6, dim);
      }
    };
  };
  return {{"norms", rows(run_norms)}, {"residuals", rows(run_residuals)}, {"quantise", rows(run_quantise)},
          {"pictures", run_pictures}, {"convolutions", run_convolutions}, {"attention", run_attention}};
}

}  // namespace
}  // namespace latentcast::cuda

int main(int argc, char** argv) try {
  const std::string wanted = argc > 1 ? argv[1] : "";
  bool any = false;
  for (const auto& part : latentcast::cuda::parts()) {
    if (!wanted.empty() && wanted != part.name) continue;
    any = true;
    latentcast::cuda::Bench bench;
    part.run(bench);
  }
  if (!any) throw std::runtime_error("no kernels by the name of " + wanted);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "race_check: %s\n", error.what());
  return 1;
}
