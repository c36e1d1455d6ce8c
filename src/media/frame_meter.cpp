#include "frame_meter.h"

extern "C" {
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/pixdesc.h>
}

#include <charconv>
#include <cmath>
#include <cstring>
#include <string>

#include "latentcast/error.h"

namespace latentcast {
namespace {

struct FilterInOutDeleter {
  void operator()(AVFilterInOut* list) const { avfilter_inout_free(&list); }
};
using FilterInOut = std::unique_ptr<AVFilterInOut, FilterInOutDeleter>;

/// An open end of the graph: `filter`, under the name that the description gives it, before the others.
FilterInOut open_end(const char* name, AVFilterContext* filter, FilterInOut others) {
  FilterInOut end(avfilter_inout_alloc());
  if (!end) throw InternalError("out of memory for a filter");
  end->name = av_strdup(name);
  end->filter_ctx = filter;
  end->next = others.release();
  return end;
}

double figure(const AVFrame& frame, const char* key) {
  const AVDictionaryEntry* entry = av_dict_get(frame.metadata, key, nullptr, 0);
  double value = 0;
  if (!entry ||
      std::from_chars(entry->value, entry->value + std::strlen(entry->value), value).ec != std::errc()) {
    throw InternalError(std::string("FFmpeg's filters don't say ") + key);
  }
  return value;
}

}  // namespace

void FilterGraphDeleter::operator()(AVFilterGraph* graph) const { avfilter_graph_free(&graph); }

FrameMeter::FrameMeter(const AVFrame& a, const AVFrame& b) : graph_(avfilter_graph_alloc()) {
  if (!graph_) throw InternalError("out of memory for filters");
  silence_ffmpeg();
  graph_->nb_threads = 1;  // several would add up in another order
  a_ = add_source("a", a);
  b_ = add_source("b", b);
  require_ffmpeg(avfilter_graph_create_filter(&sink_, avfilter_get_by_name("buffersink"), "out", nullptr,
                                              nullptr, graph_.get()),
                 "make a filter");
  connect(a.format);
}

AVFilterContext* FrameMeter::add_source(const char* name, const AVFrame& frame) {
  // The filters pair frames by their times, which are the frames' numbers here.
  const std::string arguments = "video_size=" + std::to_string(frame.width) + "x" +
                                std::to_string(frame.height) + ":pix_fmt=" + std::to_string(frame.format) +
                                ":time_base=1/1";
  AVFilterContext* source = nullptr;
  require_ffmpeg(avfilter_graph_create_filter(&source, avfilter_get_by_name("buffer"), name,
                                              arguments.c_str(), nullptr, graph_.get()),
                 "make a filter");
  return source;
}

void FrameMeter::connect(int format) {
  const std::string description = std::string("[b]format=pix_fmts=") +
                                  av_get_pix_fmt_name(static_cast<AVPixelFormat>(format)) +
                                  ",split[b1][b2];[a][b1]psnr[measured];[measured][b2]ssim[out]";
  // "Inputs" and "outputs" are meant from the outside: where the description's open ends go.
  AVFilterInOut* outputs = open_end("a", a_, open_end("b", b_, nullptr)).release();
  AVFilterInOut* inputs = open_end("out", sink_, nullptr).release();
  const int code = avfilter_graph_parse_ptr(graph_.get(), description.c_str(), &inputs, &outputs, nullptr);
  const FilterInOut left_inputs(inputs), left_outputs(outputs);
  require_ffmpeg(code, "set FFmpeg's filters psnr and ssim up");
  require_ffmpeg(avfilter_graph_config(graph_.get(), nullptr), "set FFmpeg's filters psnr and ssim up");
}

FrameLikeness FrameMeter::measure(AVFrame& a, AVFrame& b) {
  a.pts = b.pts = count_++;
  require_ffmpeg(av_buffersrc_write_frame(a_, &a), "measure a frame");
  require_ffmpeg(av_buffersrc_write_frame(b_, &b), "measure a frame");
  av_frame_unref(measured_.get());
  require_ffmpeg(av_buffersink_get_frame(sink_, measured_.get()), "measure a frame");
  if (measured_->pts != a.pts) throw InternalError("FFmpeg's filters measured another frame");
  // The filter's mean squared error is rounded to six digits after the point, its decibels are not that
  // coarse.
  return {std::pow(10.0, -figure(*measured_, "lavfi.psnr.psnr_avg") / 10),
          figure(*measured_, "lavfi.ssim.All")};
}

}  // namespace latentcast
