/* Results of a Lua job as they come, through lsio.hpp: how a recording's parts differ in loudness.
 *   stream FILE                      FILE holds float32 values */
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <lsio.hpp>
#include <vector>

static const char script[] = R"(
local lsio = require 'lsio'
return lsio.job { type = 'f32', out_max = 16384,
  source = function(p) return lsio.files(p[1], { chunk = '64KiB' }) end,
  transform = function(c) lsio.k.clip(c.data, c.n, c.out, -1, 1) return c.n end })";

int main(int argc, char **argv) try {
  struct part {
    std::uint64_t step;
    double energy;
    lsio::block block; /* held: the samples stay */
    lsio::span<const float> samples;
  };
  std::vector<part> parts;
  const lsio::context context;
  const lsio::queue queue(context);
  const char *args[] = {argc > 1 ? argv[1] : "data.f32"};
  auto options = lsio::make<lsio_job_options>();
  options.args = args;
  options.n_args = 1;
  options.flags = LSIO_JOB_STREAM;
  const lsio::job job = queue.submit(script, options);
  queue.until_done(job, [&](const lsio::event &e) {
    for (const lsio::result r : e.results()) {
      double energy = 0;
      for (const float v : r.as<float>()) energy += double{v} * v;
      parts.push_back({r.step(), energy, e.hold(), r.as<float>()});
    }
  });
  std::sort(parts.begin(), parts.end(), [](const part &a, const part &b) {
    return a.energy != b.energy ? a.energy > b.energy : a.step < b.step;
  });
  for (std::size_t i = 0; i < parts.size() && i < 3; i++)
    std::printf("chunk %d, from %g on: %.2f\n", static_cast<int>(parts[i].step), double{parts[i].samples[0]},
                parts[i].energy);
} catch (const lsio::error &e) {
  std::fprintf(stderr, "%s\n", e.what());
  return e.is_retryable() ? 75 : 1;
}
