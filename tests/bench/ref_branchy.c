/* Reference: y = x > 0.5 ? 1.5 x - 0.25 : 0.5 x + 0.25 of float32, and the histogram of y. Both ways are
 * computed and one is chosen, as the branch would be mispredicted; neighbours count in different tables,
 * as adding to the same word again would wait for the first addition. */
#include "ref_job.h"

enum { BINS = 256, TABLES = 4, LO = -2, PER_UNIT = 64 }; /* from -2 up to 2 */

struct state {
  uint32_t table[TABLES][BINS + 2]; /* what is below and above counts in the last two */
  uint64_t counts[BINS];
};

static inline int32_t bin_of(float x) {
  const float y = x > 0.5f ? x * 1.5f - 0.25f : x * 0.5f + 0.25f;
  const float at = floorf(y * PER_UNIT) - LO * PER_UNIT; /* exact: a power of two */
  return at >= 0 && at < BINS ? (int32_t)at : BINS;
}

static void step(void *opaque, const char *data, size_t n, char *out) {
  enum { STRIP = 1024 };
  struct state *s = opaque;
  const float *x = (const float *)data;
  int32_t bin[STRIP];
  (void)out;
  n /= 4;
  for (size_t at = 0; at < n; at += STRIP) {
    const size_t k = n - at < STRIP ? n - at : STRIP;
    for (size_t i = 0; i < k; ++i) bin[i] = bin_of(x[at + i]);
    size_t i = 0;
    for (; i + TABLES <= k; i += TABLES)
      for (int t = 0; t < TABLES; ++t) s->table[t][bin[i + (size_t)t]]++;
    for (; i < k; ++i) s->table[0][bin[i]]++;
  }
  for (int t = 0; t < TABLES; ++t)
    for (int b = 0; b < BINS; ++b) s->counts[b] += s->table[t][b];
  memset(s->table, 0, sizeof s->table);
}

static void merge(void *into, const void *from) {
  struct state *a = into;
  const struct state *b = from;
  for (int i = 0; i < BINS; ++i) a->counts[i] += b->counts[i];
}

static void show(const void *state, char *text, size_t cap) {
  const struct state *s = state;
  double n = 0, weighted = 0;
  for (int i = 0; i < BINS; ++i) {
    n += (double)s->counts[i];
    weighted += (double)s->counts[i] * i;
  }
  snprintf(text, cap, ", \"n\": %.17g, \"weighted\": %.17g", n, weighted);
}

int main(int argc, char **argv) {
  static const struct ref_job job = {"ref_branchy", "A map with a branch, and a histogram of 256 bins",
                                     sizeof(struct state), NULL, step, merge, show, 0};
  return ref_job_main(&job, argc, argv);
}
